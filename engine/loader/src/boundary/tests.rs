use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use std::ffi::c_void;
use std::sync::Arc;

use tidegate_abi::{self as abi, Attr, AttrValue, Buf, Str, View};
use tidegate_sdk::{Attributes, Batch};

use crate::boundary::exported::ExportedBatch;
use crate::boundary::imported::{emitted, read_by_source};

unsafe extern "C" fn released(owner: *mut c_void) {
    // SAFETY: the owner is a counter of the test.
    unsafe { owner.cast::<AtomicUsize>().as_ref() }.unwrap().fetch_add(1, Ordering::SeqCst);
}

/// The memory that a table points to, as a library would hold it.
#[derive(Clone, Debug, Default)]
struct Columns {
    data: Vec<View>,
    key: Vec<View>,
    time: Vec<i64>,
    from: Vec<u32>,
    attr_end: Vec<u32>,
    attr: Vec<(View, u32, View)>,
    n_common: u32,
    position: Vec<u8>,
    refused: Vec<View>,
}

const OWN: [&[u8]; 2] = [b"fresh bytes", b""];

/// Hands a table of these columns to `work`, and counts how often its buffers were given back.
fn handed<T>(columns: &Columns, counter: &AtomicUsize, work: impl FnOnce(*const abi::Batch) -> T) -> T {
    let buffers: Vec<Buf> = OWN.iter().map(|bytes| Buf::new(bytes)).collect();
    let attr: Vec<Attr> = columns
        .attr
        .iter()
        .map(|(name, kind, text)| Attr { name: *name, kind: *kind, value: AttrValue { text: *text } })
        .collect();
    let refused: Vec<abi::Refused> = columns
        .refused
        .iter()
        .map(|data| abi::Refused { data: *data, length: 7, reason: Str::new("too long") })
        .collect();
    fn some<T>(column: &[T]) -> *const T {
        if column.is_empty() { std::ptr::null() } else { column.as_ptr() }
    }
    // SAFETY: the first field of `Batch` is its size.
    let mut table: abi::Batch = unsafe { abi::sized() };
    table.n = columns.data.len() as u32;
    (table.buf, table.n_buf) = (buffers.as_ptr(), buffers.len() as u32);
    table.data = some(&columns.data);
    (table.key, table.time, table.from) = (some(&columns.key), some(&columns.time), some(&columns.from));
    table.attr_end = some(&columns.attr_end);
    (table.attr, table.n_attr, table.n_common) = (some(&attr), attr.len() as u32, columns.n_common);
    table.position = Buf::new(&columns.position);
    (table.refused, table.n_refused) = (some(&refused), refused.len() as u32);
    table.release = Some(released);
    table.owner = (&raw const *counter).cast_mut().cast();
    work(&raw const table)
}

/// A batch of three events with a key, a time and an attribute each.
fn input() -> Batch {
    let mut builder = Batch::builder();
    for text in ["one", "two", "three"] {
        builder.push_copy(text.as_bytes());
        builder.key(&text.as_bytes()[..1]);
        builder.timestamp(5);
        builder.attributes(Arc::new(Attributes::default().with("name", text)));
    }
    builder.finish().stamped(&"s".into(), 3)
}

fn view(buf: u32, off: u32, len: u32) -> View {
    View { buf, off, len }
}

fn emit(columns: &Columns, counter: &AtomicUsize) -> Result<Batch, String> {
    let exported = ExportedBatch::new(&input()).unwrap();
    // SAFETY: the table is sound as far as pointers go.
    handed(columns, counter, |table| unsafe { emitted(exported.shared(), table) })
}

#[test]
fn a_filter_mixes_what_it_was_given_with_its_own() {
    let counter = AtomicUsize::new(0);
    // The input has one buffer and one of names and texts, so its own are numbers 2 and 3.
    let columns =
        Columns { data: vec![view(0, 0, 3), view(2, 0, 5)], from: vec![0, 2], ..Columns::default() };
    let batch = emit(&columns, &counter).unwrap();
    assert_eq!(batch.texts(), ["one", "fresh"]);
    assert_eq!((batch.key(1), batch.timestamp(1)), (Some(&b"t"[..]), Some(5)));
    assert_eq!(batch.own_attributes(1).unwrap().text("name"), Some("three"));
    assert_eq!((batch.source_index(1), batch.origin(1).sequence), (2, 3));
    assert_eq!(counter.load(Ordering::SeqCst), 0, "somebody still looks at it");
    drop(batch);
    assert_eq!(counter.load(Ordering::SeqCst), 1);
}

#[test]
fn each_breach_is_named_and_gives_the_buffers_back_once() {
    let good = Columns { data: vec![view(0, 0, 1)], ..Columns::default() };
    let none = || view(abi::NONE, 0, 0);
    let cases: [(Columns, &str); 10] = [
        (
            Columns { data: vec![view(2, 8, 9)], ..good.clone() },
            "event 0 ends at byte 17 of buffer 2, which has 11",
        ),
        (Columns { data: vec![view(9, 0, 0)], ..good.clone() }, "event 0 lies in buffer 9 of 4"),
        (
            Columns { data: vec![view(2, u32::MAX, 2)], ..good.clone() },
            "event 0 ends at byte 4294967297 of buffer 2",
        ),
        (Columns { from: vec![3], ..good.clone() }, "event 0 says it was made from event 3 of 3"),
        (
            Columns { data: vec![view(0, 0, 1); 4], ..Columns::default() },
            "event 3 says it was made from event 3 of 3",
        ),
        (Columns { key: vec![view(2, 12, 0)], ..good.clone() }, "the key of event 0 ends at byte 12"),
        (Columns { attr_end: vec![1], ..good.clone() }, "`attr_end` is not in order: 1 after 0"),
        (Columns { n_common: 1, ..good.clone() }, "1 of 0 attributes cannot be common"),
        (
            Columns { attr_end: vec![1], attr: vec![(view(2, 0, 5), 9, none())], ..good.clone() },
            "9 is not a type of an attribute",
        ),
        (
            Columns { attr_end: vec![1], attr: vec![(view(2, 0, 5), 1, none())], ..good },
            "an attribute lies in buffer 4294967295 of 4",
        ),
    ];
    for (columns, expected) in cases {
        let counter = AtomicUsize::new(0);
        let error = emit(&columns, &counter).expect_err(expected);
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(counter.load(Ordering::SeqCst), 1, "{expected}");
    }
}

#[test]
fn source_batch_has_a_position_refused_input_and_long_events() {
    let counter = AtomicUsize::new(0);
    let columns = Columns {
        data: vec![view(0, 0, 5), view(0, 0, 11)],
        position: b"{\"at\":16}".to_vec(),
        refused: vec![view(0, 6, 5)],
        ..Columns::default()
    };
    // SAFETY: the table is sound.
    let (read, _) = handed(&columns, &counter, |table| unsafe { read_by_source(table, 10) }).unwrap();
    assert_eq!(read.batch.texts(), ["fresh"]);
    assert_eq!(read.batch.origin(0).position.as_ref().unwrap().as_bytes().as_ref(), b"{\"at\":16}");
    let rejected: Vec<_> =
        read.rejected.iter().map(|one| (&one.payload[..], one.length, &one.reason[..])).collect();
    assert_eq!(
        rejected,
        [
            (&b"bytes"[..], 7, "too long"),
            (&b"fresh byte"[..], 11, "11 bytes are more than `event_size` allows (10)")
        ]
    );
    let long = Columns { position: vec![b' '; 65 << 10], ..Columns::default() };
    // SAFETY: as above.
    let error = handed(&long, &counter, |table| unsafe { read_by_source(table, 10).unwrap_err() });
    assert!(error.starts_with("a position has 66560 bytes"), "{error}");
}

#[test]
fn tables_that_are_none_are_refused() {
    let exported = ExportedBatch::new(&input()).unwrap();
    // SAFETY: a null table, and one that says that it is short.
    unsafe {
        assert_eq!(emitted(exported.shared(), std::ptr::null()).unwrap_err(), "a batch is NULL");
        let mut table: abi::Batch = abi::sized();
        table.struct_size = 12;
        assert!(
            emitted(exported.shared(), &raw const table).unwrap_err().contains("says that it has 12 bytes")
        );
        table = abi::sized();
        table.n = u32::MAX;
        assert!(emitted(exported.shared(), &raw const table).unwrap_err().contains("beyond what is allowed"));
        table.n = 2;
        assert_eq!(emitted(exported.shared(), &raw const table).unwrap_err(), "`data` is NULL");
    }
}

fn any_view() -> impl Strategy<Value = View> {
    let number = || prop_oneof![0_u32..14, Just(u32::MAX), any::<u32>()];
    (prop_oneof![0_u32..6, Just(u32::MAX)], number(), number())
        .prop_map(|(buf, off, len)| view(buf, off, len))
}

fn any_columns() -> impl Strategy<Value = Columns> {
    (0_usize..6).prop_flat_map(|count| {
        let column = |count| prop_oneof![Just(Vec::new()), prop::collection::vec(any_view(), count)];
        (
            prop::collection::vec(any_view(), count),
            column(count),
            prop_oneof![Just(Vec::new()), prop::collection::vec(0_u32..5, count)],
            prop_oneof![Just(Vec::new()), prop::collection::vec(0_u32..4, count)],
            prop::collection::vec((any_view(), 0_u32..6, any_view()), 0..4),
            0_u32..4,
            prop::collection::vec(any_view(), 0..3),
        )
            .prop_map(|(data, key, from, attr_end, attr, n_common, refused)| Columns {
                data,
                key,
                from,
                attr_end,
                attr,
                n_common,
                refused,
                ..Columns::default()
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the numbers of a table are, it is refused, or every byte that it means can be read; and its buffers are
    /// given back once.
    #[test]
    fn no_table_makes_us_read_what_is_not_there(columns in any_columns()) {
        let counter = AtomicUsize::new(0);
        if let Ok(batch) = emit(&columns, &counter) {
            for event in 0..batch.len() {
                prop_assert!(batch.payload(event).len() <= 14);
                let _ = (batch.key(event), batch.attribute(event, "name"), batch.origin(event));
            }
        }
        prop_assert_eq!(counter.load(Ordering::SeqCst), 1);
        // SAFETY: the table is sound as far as pointers go.
        let read = handed(&columns, &counter, |table| unsafe { read_by_source(table, 10) });
        if let Ok((read, _)) = read {
            prop_assert!(read.batch.payloads().all(|payload| payload.len() <= 10));
        }
        prop_assert_eq!(counter.load(Ordering::SeqCst), 2);
    }
}

/// Guards against a few bytes that ask for a lot of memory: many attributes may name the same long text.
#[test]
fn metadata_of_a_batch_is_limited() {
    let counter = AtomicUsize::new(0);
    let long = vec![b'x'; 1 << 20];
    let text = |length: u32| (view(0, 0, 1), abi::attribute::TEXT, view(0, 0, length));
    let read = |attr: &[(View, u32, View)]| {
        let buffer = Buf::new(&long);
        let attr: Vec<Attr> = attr
            .iter()
            .map(|(name, kind, text)| Attr { name: *name, kind: *kind, value: AttrValue { text: *text } })
            .collect();
        // SAFETY: the first field of `Batch` is its size.
        let mut table: abi::Batch = unsafe { abi::sized() };
        (table.buf, table.n_buf) = (&raw const buffer, 1);
        (table.attr, table.n_attr, table.n_common) = (attr.as_ptr(), attr.len() as u32, attr.len() as u32);
        table.release = Some(released);
        table.owner = (&raw const counter).cast_mut().cast();
        // SAFETY: the table is sound as far as pointers go.
        unsafe { read_by_source(&raw const table, 10) }.map(drop)
    };
    assert_eq!(read(&[text(1 << 20); 60]), Ok(()));
    let exceeded = "the attributes, origins and rejections of a batch need more than 67108864 bytes";
    assert_eq!(read(&[text(1 << 20); 65]), Err(exceeded.into()));
    assert_eq!(read(&[text(1); 257]), Err("an event has 257 attributes, and may have 256".into()));
    assert_eq!(counter.load(Ordering::SeqCst), 3, "each batch is released");
}
