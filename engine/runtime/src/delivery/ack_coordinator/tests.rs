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

/// How often batches ended, and how the last one did.
#[derive(Default)]
struct Ends(AtomicUsize, Mutex<Option<Outcome>>);

async fn begin(coordinator: &Arc<AckCoordinator>, batch: Batch, ends: &Arc<Ends>) -> TrackedBatch {
    let (count, ends) = (batch.len(), Arc::clone(ends));
    let room = coordinator.room().await;
    coordinator.begin(batch, ack_handles(count), room, move |outcome| {
        ends.0.fetch_add(1, Ordering::SeqCst);
        *ends.1.lock().unwrap() = Some(outcome);
    })
}

async fn due(coordinator: &AckCoordinator) -> Option<CompletedBatch> {
    let none = CancellationToken::new();
    none.cancel();
    coordinator.next(&none).await
}

#[tokio::test]
async fn a_batch_is_due_when_all_that_became_of_it_is_known() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let first = begin(&coordinator, stamped(&["a", "b", "c"], 0), &ends).await;
    let second = begin(&coordinator, stamped(&["d"], 1), &ends).await;
    // Both come in one parcel, and the first comes in two.
    let early = first.select([0]);
    let both = TrackedBatch::merge(vec![first.select([2]), second]).unwrap();
    coordinator.gather(both);
    let due_now = due(&coordinator).await.unwrap();
    assert_eq!(due_now.tracked.batch().texts(), ["d"]);
    first.done();
    assert!(due(&coordinator).await.is_none(), "one event is still on its way");
    coordinator.gather(early);
    let known = due(&coordinator).await.unwrap();
    assert_eq!(
        (known.tracked.batch().texts(), known.ack_handles.range().end),
        (vec!["c".into(), "a".into()], 3)
    );
    assert_eq!(ends.0.load(Ordering::SeqCst), 0, "that it is due is not its end");
    known.tracked.done();
    known.entries.done();
    assert_eq!(*ends.1.lock().unwrap(), Some(Outcome::Delivered));
    drop(due_now);
    assert_eq!(*ends.1.lock().unwrap(), Some(Outcome::Failed), "one that is dropped has failed");
}

#[tokio::test]
async fn how_it_ended_is_the_worst_of_before_and_after() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let tracked = begin(&coordinator, stamped(&["a", "b"], 0), &ends).await;
    tracked.select([0]).rejected("bad");
    tracked.done();
    let known = due(&coordinator).await.unwrap();
    assert!(known.tracked.batch().is_empty());
    known.tracked.done();
    known.entries.done();
    assert_eq!(*ends.1.lock().unwrap(), Some(Outcome::Rejected("bad".into())));
}

#[tokio::test]
async fn a_batch_that_failed_is_never_due() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    let tracked = begin(&coordinator, stamped(&["a", "b"], 0), &ends).await;
    coordinator.gather(tracked.select([0]));
    drop(tracked);
    assert!(due(&coordinator).await.is_none());
    assert_eq!(*ends.1.lock().unwrap(), Some(Outcome::Failed));
    assert!(coordinator.gathered().is_empty());
}

#[tokio::test]
async fn only_so_many_batches_are_on_their_way() {
    let (coordinator, ends) = (Arc::new(AckCoordinator::new()), Arc::new(Ends::default()));
    for sequence in 0..BATCHES as u64 {
        begin(&coordinator, stamped(&["a"], sequence), &ends).await.done();
    }
    let waits = tokio::time::timeout(std::time::Duration::ZERO, coordinator.room()).await;
    assert!(waits.is_err());
    let CompletedBatch { tracked, entries, .. } = due(&coordinator).await.unwrap();
    tracked.done();
    entries.done();
    drop(coordinator.room().await);
}
