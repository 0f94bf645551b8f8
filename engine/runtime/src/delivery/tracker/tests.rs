use super::*;
use proptest::prelude::*;
use tidegate_sdk::Position;

fn record(number: u64) -> Record {
    Record { position: Some(Position::new(&number)), base: number, done: number }
}

#[test]
fn never_past_a_gap() {
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let mut tracker = Tracker::default();
    for sequence in 0..4 {
        tracker.read(&a, sequence, Some(record(sequence)));
    }
    tracker.read(&b, 4, Some(record(4)));
    assert_eq!(tracker.ended("a", 2), None);
    assert_eq!(tracker.ended("b", 4), Some(record(4)));
    assert_eq!(tracker.ended("a", 0), Some(record(0)));
    assert_eq!(tracker.ended("a", 1), Some(record(2)));
    assert_eq!(tracker.ended("a", 1), None, "an ended batch is forgotten");
    assert_eq!(tracker.ended("a", 3), Some(record(3)));
    assert!(tracker.partitions.is_empty());
}

proptest! {
    /// In whatever order batches end, the safe position is the end of the finished prefix.
    #[test]
    fn safe_is_the_finished_prefix(order in Just((0_u64..40).collect::<Vec<_>>()).prop_shuffle()) {
        let partition: Arc<str> = "p".into();
        let mut tracker = Tracker::default();
        for sequence in 0..40_u64 {
            // Every third batch has no place of its own.
            let place = (sequence % 3 != 2).then(|| record(sequence));
            tracker.read(&partition, sequence, place);
        }
        let mut ended = [false; 40];
        let mut safe = None;
        for sequence in order {
            ended[sequence as usize] = true;
            safe = tracker.ended("p", sequence).or(safe);
            let prefix = ended.iter().take_while(|ended| **ended).count() as u64;
            let expected = (0..prefix).rev().find(|sequence| sequence % 3 != 2);
            prop_assert_eq!(&safe, &expected.map(record));
        }
    }
}
