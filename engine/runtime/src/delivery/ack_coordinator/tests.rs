use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn stamped(payloads: &[&str], sequence: u64) -> Batch {
    let mut builder = Batch::builder();
    payloads.iter().for_each(|payload| builder.push_copy(payload.as_bytes()));
    builder.finish().stamped(&"s".into(), sequence)
}

fn ack_handles(count: usize) -> AckHandles {
    let mut ack_handles = AckHandles::new(&[String::new()].into());
    (0..count).for_each(|number| ack_handles.push(number.to_string().as_bytes()));
    ack_handles
}

/// Number of batches that ended, and the last outcome.
#[derive(Default)]
struct Ends(AtomicUsize, Mutex<Option<Outcome>>);

async fn begin(coordinator: &Arc<AckCoordinator>, batch: Batch, ends: &Arc<Ends>) -> TrackedBatch {
    let (count, ends) = (batch.len(), Arc::clone(ends));
    let permit = coordinator.admit().await;
    coordinator.begin(batch, ack_handles(count), permit, move |outcome| {
        ends.0.fetch_add(1, Ordering::SeqCst);
        *ends.1.lock() = Some(outcome);
    })
}

async fn due(coordinator: &AckCoordinator) -> Option<CompletedBatch> {
    let none = CancellationToken::new();
    none.cancel();
    coordinator.next(&none).await
}

#[tokio::test]
async fn batch_is_completed_when_all_its_events_have_arrived_or_ended() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let first = begin(&coordinator, stamped(&["a", "b", "c"], 0), &ends).await;
    let second = begin(&coordinator, stamped(&["d"], 1), &ends).await;
    // The events of both come merged, and those of the first in two batches.
    let early = first.select([0]);
    let both = TrackedBatch::merge(vec![first.select([2]), second]).unwrap();
    coordinator.collect(both);
    let due_now = due(&coordinator).await.unwrap();
    assert_eq!(due_now.tracked.batch().texts(), ["d"]);
    first.done();
    assert!(due(&coordinator).await.is_none(), "one event is still in flight");
    coordinator.collect(early);
    let known = due(&coordinator).await.unwrap();
    assert_eq!(
        (known.tracked.batch().texts(), known.ack_handles.range().end),
        (vec!["c".into(), "a".into()], 3)
    );
    assert_eq!(ends.0.load(Ordering::SeqCst), 0, "a completed batch has not ended");
    known.tracked.done();
    known.entries.done();
    assert_eq!(*ends.1.lock(), Some(Outcome::Delivered));
    drop(due_now);
    assert_eq!(*ends.1.lock(), Some(Outcome::Failed), "a dropped batch has failed");
}

#[tokio::test]
async fn outcome_is_the_worst_of_filters_and_sink() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let tracked = begin(&coordinator, stamped(&["a", "b"], 0), &ends).await;
    tracked.select([0]).rejected("bad");
    tracked.done();
    let known = due(&coordinator).await.unwrap();
    assert!(known.tracked.batch().is_empty());
    known.tracked.done();
    known.entries.done();
    assert_eq!(*ends.1.lock(), Some(Outcome::Rejected("bad".into())));
}

#[tokio::test]
async fn failed_batch_is_never_completed() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let tracked = begin(&coordinator, stamped(&["a", "b"], 0), &ends).await;
    coordinator.collect(tracked.select([0]));
    drop(tracked);
    assert!(due(&coordinator).await.is_none());
    assert_eq!(*ends.1.lock(), Some(Outcome::Failed));
    assert!(coordinator.collected().is_empty());
}

#[tokio::test]
async fn number_of_batches_in_flight_is_limited() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    for sequence in 0..BATCHES as u64 {
        begin(&coordinator, stamped(&["a"], sequence), &ends).await.done();
    }
    let waits = tokio::time::timeout(std::time::Duration::ZERO, coordinator.admit()).await;
    assert!(waits.is_err());
    let CompletedBatch { tracked, entries, .. } = due(&coordinator).await.unwrap();
    tracked.done();
    entries.done();
    drop(coordinator.admit().await);
}
