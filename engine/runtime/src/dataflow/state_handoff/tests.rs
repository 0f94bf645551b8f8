use super::*;
use crate::delivery::checkpoint::StoredPosition;
use tidegate_sdk::{Position, Record};

#[test]
fn positions_are_compared_by_partition() {
    let at = |done: &[(&str, u64)]| -> SourcePositions {
        let place = |(partition, done): &(&str, u64)| {
            let record = Record { position: Some(Position::new(done)), base: *done, done: *done };
            ((*partition).to_owned(), StoredPosition { record, ..StoredPosition::default() })
        };
        done.iter().map(place).collect()
    };
    assert!(is_at_least(&at(&[("a", 7)]), &at(&[("a", 7)])));
    assert!(is_at_least(&at(&[("a", 7), ("b", 1)]), &at(&[("a", 6)])));
    assert!(is_at_least(&at(&[]), &at(&[])), "a source that cannot read again");
    assert!(!is_at_least(&at(&[("a", 6)]), &at(&[("a", 7)])), "a sink has lost data");
    assert!(!is_at_least(&at(&[("b", 9)]), &at(&[("a", 7)])), "a partition is read from its start");
}

#[tokio::test]
async fn a_panic_costs_the_state_and_nothing_else() {
    assert_eq!(saved("once", async { Ok(Some(vec![1])) }).await, Some(vec![1]));
    assert_eq!(saved("once", async { panic!("as the test wants") }).await, None);
}
