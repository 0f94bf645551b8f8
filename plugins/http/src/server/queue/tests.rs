use bytes::Bytes;
use tidegate_sdk::AttributeValue;

use super::*;
use crate::budget::ByteBudget;
use crate::server::decode::Events;

fn waiting(text: &str, count: usize, share: Option<OutcomeShare>) -> QueuedRequest {
    let length = text.len() as u32;
    let spans = vec![Span { buffer: 0, offset: 0, length }; count];
    let decoded =
        Decoded { events: Events::Many(spans), ..Decoded::whole(Bytes::copy_from_slice(text.as_bytes())) };
    let attributes = Arc::new(Attributes::default().with("path", format!("/{text}")));
    let client = Client::answered();
    QueuedRequest { decoded, attributes, share, client, _reserved: ByteBudget::new(1000).reserve() }
}

fn next(reader: &mut BatchReader) -> SourceBatch {
    reader.rest().unwrap_or_else(|| {
        let first = reader.receiver.try_recv().unwrap();
        reader.batch(first)
    })
}

#[test]
fn requests_whose_clients_do_not_wait_share_a_batch() {
    let (queue, mut reader) = channel(10);
    for text in ["a", "b", "c"] {
        queue.enter().unwrap().push(waiting(text, 2, None)).unwrap();
    }
    let batch = next(&mut reader).batch;
    assert_eq!(batch.texts(), ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(batch.runs().len(), 1);
    let path = |event| batch.attribute(event, "path").cloned();
    assert_eq!(path(0), Some(AttributeValue::from("/a")));
    assert_eq!(path(5), Some(AttributeValue::from("/c")));
    assert!(reader.rest().is_none());
}

#[test]
fn nothing_is_lost_where_a_batch_is_full() {
    let (queue, mut reader) = channel(10);
    for (text, count) in [("a", 5000), ("b", 5000), ("c", BATCH_EVENTS + 10), ("d", 1)] {
        queue.enter().unwrap().push(waiting(text, count, None)).unwrap();
    }
    let (mut counts, mut sizes) = ([0; 4], Vec::new());
    while counts.iter().sum::<usize>() < 10_000 + BATCH_EVENTS + 11 {
        let batch = next(&mut reader).batch;
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
        let (queue, mut reader) = channel(10);
        let (share, mut response) = OutcomeShare::new();
        queue.enter().unwrap().push(waiting("a", BATCH_EVENTS + 1, Some(share))).unwrap();
        let batches = [next(&mut reader), next(&mut reader)];
        for (batch, outcome) in batches.into_iter().zip(outcomes) {
            assert!(response.try_recv().is_err(), "the outcome came before the last one was known");
            batch.done.unwrap()(outcome);
        }
        assert_eq!(response.try_recv().unwrap(), expected);
    }
}

#[test]
fn a_batch_that_is_forgotten_has_failed() {
    let (queue, mut reader) = channel(10);
    let (share, mut response) = OutcomeShare::new();
    queue.enter().unwrap().push(waiting("a", 1, Some(share))).unwrap();
    drop(next(&mut reader));
    assert_eq!(response.try_recv().unwrap(), Outcome::Failed);
    let (share, mut response) = OutcomeShare::new();
    queue.enter().unwrap().push(waiting("a", 1, Some(share))).unwrap();
    drop(reader);
    assert_eq!(response.try_recv().unwrap(), Outcome::Failed);
}

#[test]
fn a_full_queue_takes_no_more() {
    let (queue, mut reader) = channel(1);
    let (first, second) = (queue.enter().unwrap(), queue.enter().unwrap());
    first.push(waiting("a", 1, None)).unwrap();
    assert!(second.push(waiting("b", 1, None)).is_err());
    assert!(queue.enter().is_err());
    next(&mut reader);
    let last = queue.enter().unwrap();
    queue.close();
    assert!(queue.enter().is_err());
    last.push(waiting("c", 1, None)).unwrap();
    assert_eq!(next(&mut reader).batch.texts(), ["c"]);
}
