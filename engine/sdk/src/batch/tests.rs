//! Batches against a model that copies everything.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// An event with its key, time and attributes.
#[derive(Clone, Debug)]
struct Event {
    payload: Vec<u8>,
    key: Option<Vec<u8>>,
    timestamp: Option<i64>,
    attribute: Option<i64>,
    origin: Arc<Origin>,
    index: u32,
}

/// The way in which a test derives an event.
#[derive(Clone, Debug)]
enum Made {
    Kept,
    Written(Vec<u8>),
    Shared(Vec<u8>),
    /// A part of its own payload.
    Part(Index, Index),
}

/// An event of a derived batch: its input event, the way it is made, and the values set on it.
type Derived = (Index, Made, Option<Vec<u8>>, Option<i64>, Option<i64>);

#[derive(Clone, Debug)]
enum Step {
    Derive(Index, Vec<Derived>),
    Select(Index, Vec<Index>),
    Concat(Vec<Index>),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let made = prop_oneof![
        Just(Made::Kept),
        bytes().prop_map(Made::Written),
        bytes().prop_map(Made::Shared),
        (index(), index()).prop_map(|(start, end)| Made::Part(start, end)),
    ];
    let derived =
        (index(), made, prop::option::of(bytes()), prop::option::of(0_i64..9), prop::option::of(0_i64..9));
    let step = prop_oneof![
        (index(), prop::collection::vec(derived, 0..8))
            .prop_map(|(batch, events)| Step::Derive(batch, events)),
        (index(), prop::collection::vec(index(), 0..8))
            .prop_map(|(batch, events)| Step::Select(batch, events)),
        prop::collection::vec(index(), 0..4).prop_map(Step::Concat),
    ];
    prop::collection::vec(step, 1..12)
}

/// A batch as a source makes it, and its model.
fn source(sequence: u64) -> (Batch, Vec<Event>) {
    let mut builder = Batch::builder();
    for event in 0..sequence + 1 {
        builder.push_copy(format!("{sequence}.{event}").as_bytes());
        if event % 2 == 1 {
            builder.key(b"k");
            builder.timestamp(7);
        }
    }
    let batch = builder.finish().stamped(&Arc::from("source"), sequence);
    let model = (0..=sequence).map(|event| Event {
        payload: format!("{sequence}.{event}").into(),
        key: (event % 2 == 1).then(|| b"k".to_vec()),
        timestamp: (event % 2 == 1).then_some(7),
        attribute: None,
        origin: Arc::clone(&batch.runs()[0].origin),
        index: event as u32,
    });
    let model = model.collect();
    (batch, model)
}

fn derive((batch, model): &(Batch, Vec<Event>), events: &[Derived]) -> (Batch, Vec<Event>) {
    let (mut builder, mut derived) = (batch.derive(), Vec::new());
    for (of, made, key, timestamp, attribute) in events.iter().filter(|_| !model.is_empty()) {
        let at = of.index(model.len());
        let mut event = model[at].clone();
        match made {
            Made::Kept => builder.keep(at),
            Made::Written(payload) => {
                builder.write(at, payload);
                event.payload.clone_from(payload);
            }
            Made::Shared(payload) => {
                builder.write_shared(at, payload.clone().into());
                event.payload.clone_from(payload);
            }
            Made::Part(start, end) => {
                let end = end.index(event.payload.len() + 1);
                let start = start.index(end + 1);
                let span = batch.spans()[at];
                let (offset, length) = (span.offset + start as u32, (end - start) as u32);
                builder.write_span(at, Span { offset, length, ..span });
                event.payload = event.payload[start..end].to_vec();
            }
        }
        if let Some(key) = key {
            builder.key(key);
            event.key = Some(key.clone());
        }
        if let Some(timestamp) = timestamp {
            builder.timestamp(*timestamp);
            event.timestamp = Some(*timestamp);
        }
        if let Some(attribute) = attribute {
            builder.attributes(Arc::new(Attributes::default().with("a", *attribute)));
            event.attribute = Some(*attribute);
        }
        derived.push(event);
    }
    (builder.finish(), derived)
}

fn agree(batch: &Batch, model: &[Event]) -> Result<(), TestCaseError> {
    prop_assert_eq!(batch.len(), model.len());
    prop_assert_eq!(batch.bytes(), model.iter().map(|event| event.payload.len()).sum::<usize>());
    for (at, event) in model.iter().enumerate() {
        prop_assert_eq!(batch.payload(at), event.payload.as_slice());
        prop_assert_eq!(&batch.shared_payload(at)[..], event.payload.as_slice());
        prop_assert_eq!(batch.key(at), event.key.as_deref());
        prop_assert_eq!(batch.timestamp(at), event.timestamp);
        let attribute = event.attribute.map(AttributeValue::Integer);
        prop_assert_eq!(batch.attribute(at, "a"), attribute.as_ref());
        prop_assert!(Arc::ptr_eq(batch.origin(at), &event.origin), "event {} is of its source batch", at);
        prop_assert_eq!(batch.source_index(at), event.index);
    }
    let ends: Vec<u32> = batch.runs().iter().map(|run| run.end).collect();
    prop_assert!(ends.is_sorted(), "runs are in order");
    prop_assert_eq!(ends.last().copied().unwrap_or(0) as usize, model.len(), "runs cover the batch");
    Ok(())
}

proptest! {
    /// In whatever order batches are derived, selected and joined, every event keeps what it has.
    #[test]
    fn batches_are_what_a_model_says(steps in steps()) {
        let mut pool: Vec<(Batch, Vec<Event>)> = (0..4).map(source).collect();
        for step in steps {
            let next = match step {
                Step::Derive(of, events) => derive(&pool[of.index(pool.len())], &events),
                Step::Select(of, events) => {
                    let (batch, model) = &pool[of.index(pool.len())];
                    let chosen = events.iter().filter(|_| !model.is_empty());
                    let chosen: Vec<usize> = chosen.map(|event| event.index(model.len())).collect();
                    (batch.select(chosen.clone()), chosen.iter().map(|at| model[*at].clone()).collect())
                }
                Step::Concat(of) => {
                    let of: Vec<_> = of.iter().map(|one| &pool[one.index(pool.len())]).collect();
                    let batches: Vec<Batch> = of.iter().map(|(batch, _)| batch.clone()).collect();
                    let model = of.iter().flat_map(|(_, model)| model.clone()).collect();
                    (Batch::concat(&batches), model)
                }
            };
            agree(&next.0, &next.1)?;
            pool.push(next);
        }
        for (batch, model) in &pool {
            agree(batch, model)?;
        }
    }
}
