//! Tests of the idempotency key.

use super::*;
use std::sync::Arc;
use tidegate_sdk::Position;

fn batch(payloads: &[&str], position: Option<u64>, sequence: u64) -> Batch {
    let mut builder = Batch::builder();
    for payload in payloads {
        builder.push_copy(payload.as_bytes());
    }
    if let Some(position) = position {
        builder.set_position(Position::new(&position));
    }
    builder.finish().stamped(&Arc::from("test"), sequence)
}

#[test]
fn a_key_is_the_same_for_the_same_events_only() {
    let keys = Keys::new();
    let key = |batch: &Batch, events: &[usize]| keys.key("sink", batch, events);
    let first = batch(&["a", "a", "b"], None, 3);
    assert_eq!(key(&first, &[0, 1]), key(&first, &[0, 1]));
    assert_eq!(key(&first, &[1, 2]), key(&first.select([1, 2]), &[0, 1]), "also in a smaller batch");
    assert_ne!(key(&first, &[0]), key(&first, &[1]), "the same text in another place is another event");
    assert_ne!(key(&first, &[0]), key(&batch(&["a", "a", "b"], None, 4), &[0]));
    assert_ne!(key(&first, &[0, 1]), keys.key("other", &first, &[0, 1]));
    assert_ne!(key(&first, &[0]), Keys::new().key("sink", &first, &[0]), "another run is another count");
}

#[test]
fn with_a_position_a_key_survives_a_restart() {
    let (before, after) = (batch(&["a"], Some(7), 12), batch(&["a"], Some(7), 0));
    assert_eq!(Keys::new().key("sink", &before, &[0]), Keys::new().key("sink", &after, &[0]));
    let other = batch(&["a"], Some(8), 12);
    assert_ne!(Keys::new().key("sink", &before, &[0]), Keys::new().key("sink", &other, &[0]));
}
