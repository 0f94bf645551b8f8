//! The ledger, whole, torn and damaged.

use super::*;

fn owner() -> Owner {
    Owner { pipeline: "p".to_owned(), sink: "s".to_owned(), epoch: 1 }
}

fn lane(partition: &str) -> Lane {
    Lane { source: "source".into(), partition: partition.into() }
}

fn record(done: u64) -> Record {
    Record { position: Some(Position::new(&done)), base: done, done }
}

fn change(done: u64) -> Change {
    let mut change = Change::of(&lane("a"), &record(done));
    change.files.insert("out".to_owned(), Some(Mark { length: done, ..Mark::default() }));
    change
}

fn load(path: &Path) -> State {
    Ledger::load(path).unwrap().unwrap().1
}

#[test]
fn changes_are_loaded_and_a_grown_log_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.tidegate");
    assert_eq!(Ledger::load(&path), Ok(None));
    let mut ledger = Ledger::create(path.clone(), owner(), State::default()).unwrap();
    ledger.append(Change::of(&lane("b"), &Record::default())).unwrap();
    for done in 1..4 {
        ledger.append(change(done)).unwrap();
        assert_eq!(load(&path), ledger.state);
    }
    ledger.limit = 0;
    ledger.append(change(4)).unwrap();
    assert_eq!(fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count(), 2);
    assert_eq!(load(&path).lanes[&lane("a")], record(4));
    assert_eq!(load(&path).lanes[&lane("b")], Record::default());
    let mut forget = Change::default();
    forget.files.insert("out".to_owned(), None);
    ledger.append(forget).unwrap();
    assert!(load(&path).files.is_empty());
}

#[test]
fn every_torn_tail_is_the_change_before_it_and_every_flipped_bit_is_that_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.tidegate");
    let mut ledger = Ledger::create(path.clone(), owner(), State::default()).unwrap();
    let mut states = vec![ledger.state.clone()];
    let mut ends = vec![ledger.length];
    for done in 1..4 {
        ledger.append(change(done)).unwrap();
        states.push(ledger.state.clone());
        ends.push(ledger.length);
    }
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        let lines = ends.iter().filter(|end| **end <= length as u64).count();
        match decode(&whole[..length]) {
            Ok((_, state)) => assert_eq!(state, states[lines - 1], "length {length}"),
            Err(_) => assert_eq!(lines, 0, "length {length}"),
        }
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let in_last = (bit / 8) as u64 >= ends[2];
        // Refusing is always right; going on is so only where the last change alone is lost.
        if let Ok((_, state)) = decode(&damaged) {
            assert!(in_last && state == states[2], "bit {bit}");
        }
    }
}

#[test]
fn a_change_whose_outcome_is_unknown_is_taken_back_before_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.tidegate");
    let mut ledger = Ledger::create(path.clone(), owner(), State::default()).unwrap();
    ledger.append(change(1)).unwrap();
    // As if the line of a second change had reached the disk while its `fdatasync` failed.
    let torn = line(&change(2)).unwrap();
    ledger.file.take().unwrap().write_all_at(&torn, ledger.length).unwrap();
    assert_eq!(load(&path).lanes[&lane("a")], record(2));
    ledger.repair().unwrap();
    assert_eq!(load(&path).lanes[&lane("a")], record(1));
    ledger.append(change(3)).unwrap();
    assert_eq!(load(&path).lanes[&lane("a")], record(3));
}
