//! Batches through shared memory and back, and invalid bytes.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_sdk::{AckHandles, AttributeValue, Attributes, Batch, Position, Span};

use crate::{CopyRanges, MetadataLimit, Names, Packer, Scratch, Unpacker};

/// Two runs, keys, times, attributes of events and of origins, a buffer of which little is used.
fn batch() -> Batch {
    let mut builder = Batch::builder();
    let mut large = vec![b'.'; 1 << 20];
    large[500_000..500_003].copy_from_slice(b"abc");
    let buffer = builder.add_buffer(large.into());
    builder.push_span(Span { buffer, offset: 500_000, length: 3 });
    builder.key(b"\xff key");
    builder.timestamp(42);
    builder.push_copy(b"second");
    builder.attributes(Arc::new(Attributes::default().with("row", 2).with("name", "zwei")));
    builder.push_copy(b"");
    builder.set_partition("left".into());
    builder.set_position(Position::from_bytes(Bytes::from_static(&[0, 255, 10])));
    let first = builder.with_attributes(Arc::new(Attributes::default().with("path", "/a"))).finish();
    let mut builder = Batch::builder();
    (0..10).for_each(|number: u8| builder.push_copy(&[b'a' + number]));
    let second = builder.finish().select([1, 4, 4, 9]);
    Batch::concat(&[first.stamped(&"one".into(), 7), second.stamped(&"two".into(), 8)])
}

/// The batch as the other side reads it, and the size of its area.
fn through(batch: &Batch) -> (Batch, CopyRanges, u64) {
    let mut packer = Packer::new(Scratch::default());
    let ranges = packer.batch(batch).unwrap();
    let bytes = written(packer);
    let there = unpacker(&bytes).batch(&mut Names::default()).unwrap();
    (there, ranges, bytes.len() as u64)
}

fn written(packer: Packer<'_>) -> Bytes {
    let mut area = vec![0; packer.length() as usize];
    packer.write(|at, bytes| area[at as usize..][..bytes.len()].copy_from_slice(bytes));
    area.into()
}

fn unpacker(bytes: &Bytes) -> Unpacker {
    Unpacker::new(bytes, MetadataLimit::default()).unwrap()
}

/// Everything that a batch holds, as text.
fn described(batch: &Batch) -> Vec<String> {
    let event = |event: usize| {
        let origin = batch.origin(event);
        format!(
            "{:?} {:?} {:?} {:?} {} {} {} {} {:?} {:?}",
            batch.payload(event),
            batch.key(event),
            batch.timestamp(event),
            batch.own_attributes(event),
            batch.source_index(event),
            origin.source,
            origin.sequence,
            origin.partition,
            origin.position,
            origin.attributes
        )
    };
    (0..batch.len()).map(event).collect()
}

#[test]
fn batch_arrives_unchanged_and_unused_bytes_are_not_copied() {
    let batch = batch();
    let (there, _, size) = through(&batch);
    assert_eq!(described(&there), described(&batch));
    assert!(Arc::ptr_eq(there.origin(0), there.origin(2)) && !Arc::ptr_eq(there.origin(0), there.origin(3)));
    assert!(size < 2000, "{size} bytes for a few events of a large buffer");
    for empty in [Batch::builder().finish(), Batch::concat(&[])] {
        assert_eq!(described(&through(&empty).0), described(&empty));
    }
}

/// Handles number 3 and 4 of a batch.
fn some_handles() -> AckHandles {
    let mut all = AckHandles::new(&["stream".to_owned(), "group".to_owned()].into());
    (0..6).for_each(|number| all.push(format!("{number}-{}", "x".repeat(number)).as_bytes()));
    all.part(3..5)
}

#[test]
fn handles_arrive_after_their_batch_and_keep_their_numbers() {
    let (batch, handles) = (batch(), some_handles());
    let mut packer = Packer::new(Scratch::default());
    packer.batch(&batch).unwrap();
    packer.handles(&handles);
    let mut unpacker = unpacker(&written(packer));
    unpacker.batch(&mut Names::default()).unwrap();
    let there = unpacker.handles().unwrap();
    assert_eq!((there.scope(), there.range(), there.bytes()), (handles.scope(), 3..5, handles.bytes()));
    assert_eq!(there.get(4), handles.get(4));
}

/// The result of `make` on the other side: there, and as it comes back.
fn back(batch: &Batch, make: impl Fn(&Batch) -> Batch) -> (Batch, Batch) {
    let (there, ranges, _) = through(batch);
    let made = make(&there);
    let mut packer = Packer::new(Scratch::default());
    packer.derived(&made, &there).unwrap();
    let here = unpacker(&written(packer)).derived(batch, &ranges).unwrap();
    (made, here)
}

#[test]
fn kept_events_come_back_as_parts_of_the_original() {
    let batch = batch();
    let (made, here) = back(&batch, |there| there.select([0, 1, 3, 6]));
    assert_eq!(described(&here), described(&made));
    assert_eq!(here.payload(0).as_ptr(), batch.payload(0).as_ptr(), "no copy");
    assert_eq!(here.payload(3).as_ptr(), batch.payload(6).as_ptr(), "no copy");
    assert!(Arc::ptr_eq(here.origin(2), batch.origin(3)), "the origin is the same, not a copy");
    assert!(Arc::ptr_eq(here.own_attributes(1).unwrap(), batch.own_attributes(1).unwrap()));
    let (_, here) = back(&batch, Batch::clone);
    assert_eq!(here.spans().as_ptr(), batch.spans().as_ptr(), "an unchanged batch is the same batch");
}

#[test]
fn new_payloads_keys_and_attributes_come_back() {
    let (made, here) = back(&batch(), |there| {
        let mut builder = there.derive();
        builder.write(6, b"new");
        builder.key(b"new key");
        builder.attributes(Arc::new(
            Attributes::default().with("new", AttributeValue::Boolean(true)).with("pi", "3.1"),
        ));
        builder.keep(0);
        builder.write(1, b"split");
        builder.write_span(1, there.spans()[1]);
        builder.finish()
    });
    assert_eq!(described(&here), described(&made));
    assert_eq!(here.source_index(0), 9, "the index in the batch of its source");
}

#[test]
fn events_of_another_batch_are_refused() {
    let mut packer = Packer::new(Scratch::default());
    let other = batch();
    assert!(packer.derived(&other, &through(&other).0).is_err());
}

#[test]
fn source_batch_arrives_with_its_origin_and_without_long_events() {
    let mut builder = Batch::builder().with_attributes(Arc::new(Attributes::default().with("path", "/a")));
    ["one", "too long", "three"].iter().for_each(|text| builder.push_copy(text.as_bytes()));
    builder.set_partition("part".into());
    builder.set_position(Position::new(&12));
    let batch = builder.finish();
    let mut packer = Packer::new(Scratch::default());
    packer.batch(&batch).unwrap();
    let read = unpacker(&written(packer)).source_batch(Vec::new(), None, 5).unwrap();
    assert_eq!((read.batch.texts(), read.rejected.len()), (vec!["one".into(), "three".into()], 1));
    let origin = read.batch.origin(0);
    assert_eq!((&*origin.partition, origin.position.clone()), ("part", Some(Position::new(&12))));
    assert_eq!(origin.attributes.text("path"), Some("/a"));
}

#[test]
fn changed_bytes_are_refused_or_readable() {
    let batch = batch();
    let (there, ranges, _) = through(&batch);
    let made = there.select([0, 1, 3, 6]);
    let mut packer = Packer::new(Scratch::default());
    packer.derived(&made, &there).unwrap();
    let derived = written(packer);
    let attributes = vec![Some(Arc::new(Attributes::default().with("a", "b"))); 4];
    let mut packer = Packer::new(Scratch::default());
    let attributed = made.with_own_attributes(attributes);
    packer.derived(&attributed, &there).unwrap();
    let attributed = written(packer);
    let mut packer = Packer::new(Scratch::default());
    packer.batch(&batch).unwrap();
    let whole = written(packer);
    let mut packer = Packer::new(Scratch::default());
    packer.handles(&some_handles());
    let handles = written(packer);
    let look = |bytes: &Bytes| {
        let start = || Unpacker::new(bytes, MetadataLimit::default());
        if let Ok(batch) = start().and_then(|mut unpacker| unpacker.batch(&mut Names::default())) {
            described(&batch);
        }
        if let Ok(handles) = start().and_then(|mut unpacker| unpacker.handles()) {
            handles.range().for_each(|index| drop(handles.get(index).to_vec()));
        }
        if let Ok(batch) = start().and_then(|mut unpacker| unpacker.derived(&batch, &ranges)) {
            described(&batch);
        }
        if let Ok(read) = start().and_then(|mut unpacker| unpacker.source_batch(vec![], None, 100)) {
            described(&read.batch);
        }
    };
    for bytes in [whole, derived, attributed, handles] {
        for at in 0..bytes.len().min(700) {
            look(&bytes.slice(..at));
            for value in [0, 1, 2, 127, 128, 255] {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                look(&changed.into());
            }
        }
    }
}

/// The area of a batch with one event per set of attributes, each with `count` texts of `length` bytes.
fn attributes(sets: usize, count: usize, length: usize) -> Bytes {
    let mut builder = Batch::builder();
    for _ in 0..sets {
        builder.push_copy(b"");
        let mut set = Attributes::default();
        (0..count).for_each(|name| set.set(name.to_string(), "x".repeat(length)));
        builder.attributes(Arc::new(set));
        builder.push_copy(b"");
    }
    let mut packer = Packer::new(Scratch::default());
    let batch = builder.finish();
    packer.batch(&batch).unwrap();
    written(packer)
}

#[test]
fn metadata_of_an_answer_is_limited() {
    let unpack = |bytes: &Bytes| unpacker(bytes).batch(&mut Names::default()).map(drop);
    assert_eq!(unpack(&attributes(1, 10, 1 << 20)), Ok(()), "attributes within the limit are read");
    let exceeded = "the attributes, origins and rejections of a batch need more than 67108864 bytes";
    let long = "the attributes of a batch has 68157505 bytes, and may have 67108864";
    assert_eq!(unpack(&attributes(1, 65, 1 << 20)).unwrap_err()[..30], long[..30]);
    assert_eq!(unpack(&attributes(50_000, 40, 0)), Err(exceeded.into()), "small attributes need memory, too");
    assert_eq!(unpack(&attributes(1, 257, 0)), Err("an event has 257 attributes, and may have 256".into()));
}
