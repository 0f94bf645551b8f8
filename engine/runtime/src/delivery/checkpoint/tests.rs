use proptest::prelude::*;
use tidegate_sdk::Position;

use super::*;

fn positions(offset: u64) -> SourcePositions {
    let record = Record { position: Some(Position::new(&offset)), base: offset, done: offset };
    let sinks = [("list".to_owned(), offset)].into();
    [("a".to_owned(), StoredPosition { record, sinks }), ("b".to_owned(), StoredPosition::default())].into()
}

#[test]
fn stored_positions_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path(), "lines");
    assert_eq!(checkpoint.load().unwrap(), SourcePositions::new());
    for offset in 1..4 {
        checkpoint.store(&positions(offset)).unwrap();
        assert_eq!(checkpoint.load().unwrap(), positions(offset));
    }
    checkpoint.clear().unwrap();
    assert_eq!(checkpoint.load().unwrap(), SourcePositions::new());
}

/// A crash in the midst of a store must find the one before it whole, so no byte of that may change.
#[test]
fn checkpoint_is_replaced_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path(), "lines");
    checkpoint.store(&positions(1)).unwrap();
    let same_file = folder.path().join("same-file");
    fs::hard_link(&checkpoint.path, &same_file).unwrap();
    let before = fs::read(&same_file).unwrap();
    for offset in 2..4 {
        checkpoint.store(&positions(offset)).unwrap();
        assert_eq!(fs::read(&same_file).unwrap(), before, "store {offset}");
    }
}

#[test]
fn every_flipped_bit_and_every_torn_tail_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path(), "lines");
    checkpoint.store(&positions(1)).unwrap();
    checkpoint.store(&positions(2)).unwrap();
    let whole = fs::read(&checkpoint.path).unwrap();
    let older = fs::read(checkpoint.old()).unwrap();
    for bit in 0..whole.len() * 8 {
        fs::write(checkpoint.old(), &older).unwrap();
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&checkpoint.path, damaged).unwrap();
        assert_eq!(checkpoint.load().unwrap(), positions(1), "bit {bit}");
    }
    for length in 0..whole.len() {
        fs::write(checkpoint.old(), &older).unwrap();
        fs::write(&checkpoint.path, &whole[..length]).unwrap();
        assert_eq!(checkpoint.load().unwrap(), positions(1), "length {length}");
    }
    fs::rename(&checkpoint.path, checkpoint.old()).unwrap();
    assert_eq!(checkpoint.load().unwrap(), positions(1), "killed between the two renames");
}

#[test]
fn two_damaged_files_refuse_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path(), "lines");
    fs::write(&checkpoint.path, b"TGCK").unwrap();
    assert!(checkpoint.load().unwrap_err().contains("remove it to start over"));
    fs::write(checkpoint.old(), b"").unwrap();
    assert!(checkpoint.load().is_err());
}

/// Event of a checkpoint between two starts.
#[derive(Clone, Copy, Debug)]
enum Step {
    Store,
    /// Killed while the temporary file was written.
    Torn(prop::sample::Index),
    /// Killed between the two renames.
    Between,
    Flip(prop::sample::Index),
    Cut(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Step::Store),
        1 => index().prop_map(Step::Torn),
        1 => Just(Step::Between),
        1 => index().prop_map(Step::Flip),
        1 => index().prop_map(Step::Cut),
    ]
}

/// Does it to the files, as number `number`.
fn happen(checkpoint: &Checkpoint, step: Step, number: u64) {
    let temporary = checkpoint.path.with_extension("position.new");
    let whole = encode(&positions(number)).unwrap();
    let newest = fs::read(&checkpoint.path).ok();
    match step {
        Step::Store => checkpoint.store(&positions(number)).unwrap(),
        Step::Torn(at) => fs::write(temporary, &whole[..at.index(whole.len())]).unwrap(),
        Step::Between => {
            fs::write(temporary, whole).unwrap();
            if newest.is_some() {
                fs::rename(&checkpoint.path, checkpoint.old()).unwrap();
            }
        }
        Step::Flip(at) => {
            let Some(mut newest) = newest else { return };
            let bit = at.index(newest.len() * 8);
            newest[bit / 8] ^= 1 << (bit % 8);
            fs::write(&checkpoint.path, newest).unwrap();
        }
        Step::Cut(at) => {
            let Some(newest) = newest else { return };
            fs::write(&checkpoint.path, &newest[..at.index(newest.len())]).unwrap();
        }
    }
}

proptest! {
    /// Whatever happens to one file at a time: a start goes on from the newest good checkpoint, or refuses.
    #[test]
    fn a_start_goes_on_from_the_newest_good_one(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "lines");
        let (mut newest, mut older) = (None, None);
        for (step, number) in steps.into_iter().zip(1..) {
            happen(&checkpoint, step, number);
            match step {
                Step::Store => older = newest.replace(number).or(older),
                Step::Torn(_) => {}
                Step::Between => older = newest.take().or(older),
                Step::Flip(_) | Step::Cut(_) if newest.is_some() => {
                    newest = older.take();
                    if newest.is_none() {
                        prop_assert!(checkpoint.load().is_err(), "the only one is damaged");
                        return Ok(());
                    }
                }
                Step::Flip(_) | Step::Cut(_) => {}
            }
            let expected = newest.or(older).map(positions).unwrap_or_default();
            prop_assert_eq!(checkpoint.load(), Ok(expected), "{:?}", step);
        }
    }
}
