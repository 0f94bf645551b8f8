use proptest::prelude::*;
use serde_json::json;
use tidegate_sdk::{Batch, Delivery};

use super::{CALL_EVENTS, Writes, split};
use crate::sink::options::Options;
use crate::sink::shape::Shape;

fn shape(options: serde_json::Value) -> Shape {
    let options: Options = serde_json::from_value(options).unwrap();
    Shape::new(&options).unwrap()
}

fn batch(payloads: &[String], first: u64) -> Batch {
    tidegate_testkit::batch(payloads).with_origin(|origin| origin.first = first)
}

#[test]
fn finished_events_are_skipped() {
    let shape = shape(json!({"url": "redis://h", "command": "rpush", "key": "k"}));
    let batch = batch(&["a", "b", "c"].map(str::to_owned), 10);
    let writes = Writes::new(&shape, &batch, 11, &mut Delivery::complete());
    assert_eq!(writes.items.iter().map(|item| item.number).collect::<Vec<_>>(), [11, 12]);
}

#[test]
fn an_event_that_became_many_is_not_cut() {
    let shape = shape(json!({"url": "redis://h", "command": "rpush", "key": "k"}));
    let one = batch(&["a".to_owned(), "b".to_owned()], 0);
    let mut many = one.derive();
    for event in [0, 1] {
        (0..CALL_EVENTS + 10).for_each(|_| many.write(event, b"x"));
    }
    let many = many.finish();
    let writes = Writes::new(&shape, &many, 0, &mut Delivery::complete());
    assert_eq!(writes.calls(CALL_EVENTS), [0..CALL_EVENTS + 10, CALL_EVENTS + 10..2 * CALL_EVENTS + 20]);
}

proptest! {
    #[test]
    fn calls_cover_everything_in_order(numbers in proptest::collection::vec(0_u32..40, 0..60)) {
        let shape = shape(json!({"url": "redis://h", "command": "set", "key": "k:{.n}"}));
        let source: Vec<_> = (0..40).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(1 << 17))).collect();
        let source = batch(&source, 7);
        let batch = source.select(numbers.iter().map(|number| *number as usize));
        let writes = Writes::new(&shape, &batch, 0, &mut Delivery::complete());
        let calls = writes.calls(CALL_EVENTS);
        prop_assert_eq!(calls.first().map(|call| call.start), Some(0));
        prop_assert_eq!(calls.last().map(|call| call.end), Some(numbers.len()));
        for pair in calls.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
            let most = writes.items[..pair[0].end].iter().map(|item| item.number).max();
            let least = writes.items[pair[1].start..].iter().map(|item| item.number).min();
            prop_assert!(most < least);
        }
    }

    #[test]
    fn pieces_make_the_whole(start in 0_usize..50, length in 0_usize..50, most in 1_usize..20) {
        let pieces: Vec<_> = split(start..start + length, most).collect();
        prop_assert_eq!(pieces.iter().cloned().flatten().collect::<Vec<_>>(), (start..start + length).collect::<Vec<_>>());
        prop_assert!(pieces.iter().all(|piece| piece.len() <= most));
    }
}
