//! Batches through shared memory and back, and invalid bytes.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_sdk::{AttributeValue, Attributes, Batch, Position, Receipts, Span};

use crate::process::frame::Area;
use crate::process::shared::ack_handles;
use crate::process::shared::copy_ranges::CopyRanges;
use crate::process::shared::lineage::Lineage;
use crate::process::shared::pack::{Input, Packer, Sets};
use crate::process::shared::region::{self, Writer, copy_out};
use crate::process::shared::unpack::{InputBatch, Unpacker};

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

/// Sends a batch to the other side. Returns what it sees, and the tables to interpret its answer.
fn through(batch: &Batch) -> (Batch, Sets, CopyRanges, Sets, u64) {
    let mut packer = Packer::new(Vec::new());
    let (ranges, ours) = packer.batch(batch).unwrap();
    let (bytes, size) = written(packer);
    let (there, theirs) = Unpacker::new(&bytes).unwrap().batch().unwrap();
    (there, theirs, ranges, ours, size)
}

fn written(packer: Packer<'_>) -> (Bytes, u64) {
    let file = region::create("test").unwrap();
    let (area, _) = packer.write(&mut Writer::new(file.try_clone().unwrap()), Area::default()).unwrap();
    (copy_out(&file, area, 1 << 30).unwrap(), area.end - area.start)
}

/// Everything that a batch holds, as text.
fn told(batch: &Batch) -> Vec<String> {
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
fn a_batch_arrives_as_it_is_and_only_what_it_means_is_copied() {
    let batch = batch();
    let (there, _, _, _, size) = through(&batch);
    assert_eq!(told(&there), told(&batch));
    assert!(size < 2000, "{size} bytes for a few events of a large buffer");
    for empty in [Batch::builder().finish(), Batch::concat(&[])] {
        assert_eq!(told(&through(&empty).0), told(&empty));
    }
}

/// Receipts number 3 to 5 of a batch.
fn some_receipts() -> Receipts {
    let mut all = Receipts::new(&["stream".to_owned(), "group".to_owned()].into());
    (0..6).for_each(|number| all.push(format!("{number}-{}", "x".repeat(number)).as_bytes()));
    all.part(3..5)
}

#[test]
fn receipts_arrive_behind_their_batch_and_keep_their_numbers() {
    let (batch, receipts) = (batch(), some_receipts());
    let mut packer = Packer::new(Vec::new());
    packer.batch(&batch).unwrap();
    ack_handles::pack(&mut packer, &receipts);
    let mut unpacker = Unpacker::new(&written(packer).0).unwrap();
    unpacker.batch().unwrap();
    let there = ack_handles::unpack(&mut unpacker).unwrap();
    assert_eq!((there.scope(), there.range(), there.bytes()), (receipts.scope(), 3..5, receipts.bytes()));
    assert_eq!(there.get(4), receipts.get(4));
}

/// What the other side makes of its view of `batch`, as it comes back.
fn back(batch: &Batch, make: impl Fn(&Batch) -> Batch) -> (Batch, Batch) {
    let (there, mut theirs, ranges, sets, _) = through(batch);
    let made = make(&there);
    let mut packer = Packer::new(Vec::new());
    packer.derived(&made, &mut Input { batch: &there, sets: &mut theirs }).unwrap();
    let (bytes, _) = written(packer);
    let mut input = InputBatch { batch, ranges: &ranges, sets, lineage: Lineage::default() };
    let here = Unpacker::new(&bytes).unwrap().derived(&mut input).unwrap();
    (made, here)
}

#[test]
fn what_lies_in_the_batch_comes_back_as_a_part_of_the_original() {
    let batch = batch();
    let (made, here) = back(&batch, |there| there.select([0, 1, 3, 6]));
    assert_eq!(told(&here), told(&made));
    assert_eq!(here.payload(0).as_ptr(), batch.payload(0).as_ptr(), "no copy");
    assert_eq!(here.payload(3).as_ptr(), batch.payload(6).as_ptr(), "no copy");
    assert!(Arc::ptr_eq(here.origin(2), batch.origin(3)), "the origin is the same, not a copy");
    assert!(Arc::ptr_eq(here.own_attributes(1).unwrap(), batch.own_attributes(1).unwrap()));
    let (_, here) = back(&batch, Batch::clone);
    assert_eq!(here.spans().as_ptr(), batch.spans().as_ptr(), "nothing was changed, so it is the same batch");
}

#[test]
fn what_is_new_comes_back_beside_it() {
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
    assert_eq!(told(&here), told(&made));
}

#[test]
fn whatever_the_bytes_are_nothing_breaks() {
    let batch = batch();
    let (there, mut theirs, ranges, _, _) = through(&batch);
    let made = there.select([0, 1, 3, 6]);
    let mut packer = Packer::new(Vec::new());
    packer.derived(&made, &mut Input { batch: &there, sets: &mut theirs }).unwrap();
    let (derived, _) = written(packer);
    let mut packer = Packer::new(Vec::new());
    packer.batch(&batch).unwrap();
    let (whole, _) = written(packer);
    let mut packer = Packer::new(Vec::new());
    ack_handles::pack(&mut packer, &some_receipts());
    let (receipts, _) = written(packer);
    let look = |bytes: &Bytes| {
        let Ok(mut unpacker) = Unpacker::new(bytes) else { return };
        if let Ok((batch, _)) = unpacker.batch() {
            told(&batch);
        }
        let there = Unpacker::new(bytes).and_then(|mut unpacker| ack_handles::unpack(&mut unpacker));
        if let Ok(receipts) = there {
            receipts.range().for_each(|index| drop(receipts.get(index).to_vec()));
        }
        let original =
            InputBatch { batch: &batch, ranges: &ranges, sets: Sets::default(), lineage: Lineage::default() };
        if let Ok(batch) = Unpacker::new(bytes).and_then(|mut unpacker| unpacker.derived(&mut { original })) {
            told(&batch);
        }
    };
    for bytes in [whole, derived, receipts] {
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

/// The tables of a batch with one event and `sets` sets of attributes, each with `count` texts of `length` bytes.
fn attributes(sets: u32, count: u32, length: usize) -> Bytes {
    let mut tables = vec![0; 8];
    let mut number = |number: u32| tables.extend_from_slice(&number.to_ne_bytes());
    // The flag for attributes, the number of events, the span of the event, the number of sets.
    [8, 1, 0, 0, 0, sets].into_iter().for_each(&mut number);
    for _ in 0..sets {
        tables.extend_from_slice(&count.to_ne_bytes());
        for name in 0..count {
            let name = name.to_string();
            tables.extend_from_slice(&(name.len() as u32).to_ne_bytes());
            tables.extend_from_slice(name.as_bytes());
            // A text, and its length.
            tables.extend_from_slice(&0_u32.to_ne_bytes());
            tables.extend_from_slice(&(length as u32).to_ne_bytes());
            tables.resize(tables.len() + length, b'x');
        }
    }
    // The set of the event, and no runs.
    tables.extend_from_slice(&[0; 8]);
    let whole = tables.len() as u64;
    tables[..8].copy_from_slice(&whole.to_ne_bytes());
    tables.into()
}

#[test]
fn metadata_of_an_answer_is_limited() {
    let unpack = |bytes: &Bytes| Unpacker::new(bytes).unwrap().batch().map(drop).unwrap_err();
    let uncovered = "the origins of a batch do not cover its events";
    assert_eq!(unpack(&attributes(1, 10, 1 << 20)), uncovered, "attributes within the limit are read");
    let exceeded = "the attributes, origins and rejections of a batch need more than 67108864 bytes";
    assert_eq!(unpack(&attributes(1, 65, 1 << 20)), exceeded);
    assert_eq!(unpack(&attributes(1, 1, 65 << 20)), "an attribute has 68157440 bytes, and may have 67108864");
    assert_eq!(unpack(&attributes(100_000, 20, 0)), exceeded, "small attributes need memory, too");
    assert_eq!(unpack(&attributes(1, 257, 0)), "an event has 257 attributes, and may have 256");
}
