use bytes::Bytes;
use tidegate_sdk::AttributeValue;

use super::*;
use crate::budget::Budget;
use crate::server::decode::Events;

fn waiting(text: &str, count: usize, share: Option<Share>) -> Waiting {
    let length = text.len() as u32;
    let spans = vec![Span { buffer: 0, offset: 0, length }; count];
    let decoded =
        Decoded { events: Events::Many(spans), ..Decoded::whole(Bytes::copy_from_slice(text.as_bytes())) };
    let attributes = Arc::new(Attributes::default().with("path", format!("/{text}")));
    let client = Client::answered();
    Waiting { decoded, attributes, share, client, _reserved: Budget::new(1000).reserve() }
}

fn next(handover: &mut Handover) -> SourceBatch {
    handover.rest().unwrap_or_else(|| {
        let first = handover.queue.try_recv().unwrap();
        handover.batch(first)
    })
}

#[test]
fn requests_that_nobody_waits_for_share_a_batch() {
    let (intake, mut handover) = queue(10);
    for text in ["a", "b", "c"] {
        intake.enter().unwrap().queue(waiting(text, 2, None)).unwrap();
    }
    let batch = next(&mut handover).batch;
    assert_eq!(batch.texts(), ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(batch.runs().len(), 1);
    let path = |event| batch.attribute(event, "path").cloned();
    assert_eq!(path(0), Some(AttributeValue::from("/a")));
    assert_eq!(path(5), Some(AttributeValue::from("/c")));
    assert!(handover.rest().is_none());
}

#[test]
fn nothing_is_lost_where_a_batch_is_full() {
    let (intake, mut handover) = queue(10);
    for (text, count) in [("a", 5000), ("b", 5000), ("c", BATCH_EVENTS + 10), ("d", 1)] {
        intake.enter().unwrap().queue(waiting(text, count, None)).unwrap();
    }
    let (mut counts, mut sizes) = ([0; 4], Vec::new());
    while counts.iter().sum::<usize>() < 10_000 + BATCH_EVENTS + 11 {
        let batch = next(&mut handover).batch;
        sizes.push(batch.len());
        for event in 0..batch.len() {
            let AttributeValue::Text(path) = batch.attribute(event, "path").unwrap() else { panic!() };
            counts[usize::from(path.as_bytes()[1] - b'a')] += 1;
        }
    }
    assert_eq!(counts, [5000, 5000, BATCH_EVENTS + 10, 1]);
    assert!(sizes.iter().all(|size| *size <= BATCH_EVENTS), "{sizes:?}");
}

#[test]
fn a_request_of_many_batches_has_the_worst_outcome() {
    let cases = [
        ([Outcome::Delivered, Outcome::Delivered], Outcome::Delivered),
        ([Outcome::Rejected("no".into()), Outcome::Delivered], Outcome::Rejected("no".into())),
        ([Outcome::Delivered, Outcome::Failed], Outcome::Failed),
    ];
    for (outcomes, expected) in cases {
        let (intake, mut handover) = queue(10);
        let (share, mut answer) = Share::new();
        intake.enter().unwrap().queue(waiting("a", BATCH_EVENTS + 1, Some(share))).unwrap();
        let batches = [next(&mut handover), next(&mut handover)];
        for (batch, outcome) in batches.into_iter().zip(outcomes) {
            assert!(answer.try_recv().is_err(), "answered before all is settled");
            batch.done.unwrap()(outcome);
        }
        assert_eq!(answer.try_recv().unwrap(), expected);
    }
}

#[test]
fn a_batch_that_is_forgotten_has_failed() {
    let (intake, mut handover) = queue(10);
    let (share, mut answer) = Share::new();
    intake.enter().unwrap().queue(waiting("a", 1, Some(share))).unwrap();
    drop(next(&mut handover));
    assert_eq!(answer.try_recv().unwrap(), Outcome::Failed);
    let (share, mut answer) = Share::new();
    intake.enter().unwrap().queue(waiting("a", 1, Some(share))).unwrap();
    drop(handover);
    assert_eq!(answer.try_recv().unwrap(), Outcome::Failed);
}

#[test]
fn a_full_queue_takes_no_more() {
    let (intake, mut handover) = queue(1);
    let (first, second) = (intake.enter().unwrap(), intake.enter().unwrap());
    first.queue(waiting("a", 1, None)).unwrap();
    assert!(second.queue(waiting("b", 1, None)).is_err());
    assert!(intake.enter().is_err());
    next(&mut handover);
    let last = intake.enter().unwrap();
    intake.close();
    assert!(intake.enter().is_err());
    last.queue(waiting("c", 1, None)).unwrap();
    assert_eq!(next(&mut handover).batch.texts(), ["c"]);
}
