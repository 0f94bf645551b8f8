use proptest::prelude::*;
use tidegate_abi::{Buf, Str, View};

use super::*;
use crate::boundary::import_batch::read_by_source;

const BYTES_THERE: &[u8] = b"1-02-03-04-0 and more";

/// Receipts that end at these bytes, as a library would hold them.
fn table(scope: &[Str], ends: &[u32]) -> abi::AckHandles {
    abi::AckHandles {
        struct_size: size_of::<abi::AckHandles>() as u32,
        n_scope: scope.len() as u32,
        scope: scope.as_ptr(),
        first: 0,
        n: ends.len() as u32,
        bytes: BYTES_THERE.as_ptr(),
        end: ends.as_ptr(),
    }
}

fn adopted(table: &abi::AckHandles, events: u32) -> Result<Option<Receipts>, String> {
    // SAFETY: the table is sound as far as pointers go.
    unsafe { handed_over(table, events) }
}

fn texts(receipts: &Receipts) -> Vec<String> {
    receipts.range().map(|index| String::from_utf8(receipts.get(index).to_vec()).unwrap()).collect()
}

#[test]
fn receipts_are_copied_as_they_are() {
    let scope = [Str::new("stream"), Str::new("group")];
    let receipts = adopted(&table(&scope, &[3, 3, 6]), 2).unwrap().unwrap();
    assert_eq!(
        (texts(&receipts), receipts.scope()),
        (vec!["1-0".into(), String::new(), "2-0".into()], &["stream".to_owned(), "group".to_owned()][..])
    );
    // SAFETY: NULL means no handles.
    assert_eq!(unsafe { handed_over(std::ptr::null(), 5) }, Ok(None), "handles are optional");
    assert_eq!(adopted(&table(&[], &[]), 0).unwrap().unwrap().range(), 0..0);
}

#[test]
fn each_breach_of_the_contract_is_named() {
    let (scope, good) = ([Str::new("stream")], table(&[], &[3, 6]));
    let long = abi::AckHandles { n_scope: SCOPE + 1, ..good };
    let cases: [(abi::AckHandles, u32, &str); 9] = [
        (good, 3, "3 events have 2 acknowledgement handles, and each needs one"),
        (abi::AckHandles { struct_size: 12, ..good }, 2, "`ack_handles` says that it has 12 bytes"),
        (abi::AckHandles { first: 1, ..good }, 2, "2 acknowledgement handles from number 1 on"),
        (abi::AckHandles { n: EVENTS + 1, ..good }, 2, "16777217 acknowledgement handles from number 0 on"),
        (long, 2, "2 acknowledgement handles from number 0 on, with 17 texts"),
        (
            abi::AckHandles { end: std::ptr::null(), ..good },
            2,
            "`scope` or `end` of the acknowledgement handles is NULL",
        ),
        (abi::AckHandles { n_scope: 1, scope: std::ptr::null(), ..good }, 2, "`scope` or `end`"),
        (
            abi::AckHandles { bytes: std::ptr::null(), ..good },
            2,
            "the acknowledgement handles are not in order, or 6 bytes",
        ),
        (
            table(&[Str { p: std::ptr::null(), n: 5 }], &[3, 6]),
            2,
            "the scope of the acknowledgement handles has 5 bytes",
        ),
    ];
    for (table, events, expected) in cases {
        let told = adopted(&table, events).expect_err(expected);
        assert!(told.starts_with(expected), "{told}");
    }
    for ends in [[6, 3], [3, u32::MAX]] {
        let told = adopted(&table(&scope, &ends), 2).unwrap_err();
        assert!(told.starts_with("the acknowledgement handles are not in order"), "{told}");
    }
    let large = vec![b'x'; HANDLE + 1];
    let table = abi::AckHandles { bytes: large.as_ptr(), n: 1, ..table(&[], &[large.len() as u32]) };
    assert!(adopted(&table, 1).unwrap_err().starts_with("an acknowledgement handle has 4097 bytes"));
}

#[test]
fn handle_of_a_refused_event_is_moved_behind_the_others() {
    let bytes = b"onetoo longthree";
    let buffers = [Buf::new(bytes)];
    let data = [(0, 3), (3, 8), (11, 5)].map(|(off, len)| View { buf: 0, off, len });
    let receipts = table(&[], &[3, 6, 9, 12]);
    // SAFETY: the first field of `Batch` is its size.
    let mut batch: abi::Batch = unsafe { abi::sized() };
    (batch.n, batch.data, batch.n_buf, batch.buf) = (3, data.as_ptr(), 1, buffers.as_ptr());
    batch.ack_handles = &raw const receipts;
    // SAFETY: the table is sound, and its bytes are there until the end of this function.
    let (read, _) = unsafe { read_by_source(&raw const batch, 5) }.unwrap();
    assert_eq!((read.batch.texts(), read.rejected.len()), (vec!["one".into(), "three".into()], 1));
    assert_eq!(texts(&read.receipts.unwrap()), ["1-0", "3-0", "4-0", "2-0"]);
}

proptest! {
    /// Whatever the numbers are, there is a receipt for each event or none at all.
    #[test]
    fn no_table_leaves_an_event_without_a_receipt(ends in prop::collection::vec(0_u32..20, 0..6), events in 0_u32..6) {
        if let Ok(Some(receipts)) = adopted(&table(&[], &ends), events) {
            prop_assert!(receipts.range().end >= events as usize);
            prop_assert_eq!(receipts.bytes(), &BYTES_THERE[..ends.last().copied().unwrap_or_default() as usize]);
        }
    }
}
