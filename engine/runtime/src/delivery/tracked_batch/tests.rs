use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// The size of a merged batch in these tests: the largest that a sink is given by default.
const REQUESTS: usize = 8192;

/// A batch merged from requests of one event each, and the number of requests that were delivered.
fn merged() -> (TrackedBatch, Arc<AtomicUsize>) {
    let delivered = Arc::new(AtomicUsize::new(0));
    let request = |_| {
        let delivered = Arc::clone(&delivered);
        let batch = tidegate_testkit::batch(["x"]).with_origin(|_| {});
        TrackedBatch::root(batch, move |outcome| {
            delivered.fetch_add(usize::from(outcome == Outcome::Delivered), Ordering::Relaxed);
        })
    };
    let merged = TrackedBatch::merge((0..REQUESTS).map(request).collect()).unwrap();
    assert_eq!(merged.batch().runs().len(), REQUESTS, "each request is a run");
    (merged, delivered)
}

/// The number of runs that a lookup looks at for the events of `order`.
fn steps(merged: &TrackedBatch, order: impl IntoIterator<Item = usize>) -> usize {
    let derived = merged.batch().select(order);
    let mut lookup = RunLookup::new(merged.batch().runs());
    for run in derived.runs() {
        let index = lookup.find(&run.origin).unwrap();
        assert!(Arc::ptr_eq(&merged.batch().runs()[index].origin, &run.origin));
    }
    lookup.steps
}

#[test]
fn deriving_from_a_merged_batch_takes_linear_time_in_any_order() {
    let (merged, _) = merged();
    let last = REQUESTS - 1;
    assert!(steps(&merged, 0..REQUESTS) <= 2 * REQUESTS);
    assert!(steps(&merged, (0..REQUESTS).rev()) <= 3 * REQUESTS);
    assert!(steps(&merged, (0..REQUESTS).map(|event| event * 4097 % REQUESTS)) <= 3 * REQUESTS);
    assert!(steps(&merged, (0..REQUESTS / 2).flat_map(|event| [event, last - event])) <= 3 * REQUESTS);
}

#[test]
fn each_derived_event_answers_for_its_own_request() {
    let (merged, delivered) = merged();
    let odd = merged.select((0..REQUESTS).rev().filter(|event| event % 2 == 1));
    let even = merged.select((0..REQUESTS).filter(|event| event % 2 == 0));
    merged.done();
    odd.rejected("odd");
    assert_eq!(delivered.load(Ordering::Relaxed), 0);
    even.done();
    assert_eq!(delivered.load(Ordering::Relaxed), REQUESTS / 2);
}
