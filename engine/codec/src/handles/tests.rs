use proptest::prelude::*;

use std::sync::Arc;

use super::*;

const BYTES_THERE: &[u8] = b"1-02-03-04-0 and more";

/// Handles that end at these bytes, as a library would hold them.
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

fn read(table: &abi::AckHandles, events: usize) -> Result<AckHandles, String> {
    // SAFETY: the table is sound as far as pointers go.
    let handles = unsafe { read_handles(table)? };
    check(&handles, events).map(|()| handles)
}

fn texts(ack_handles: &AckHandles) -> Vec<String> {
    ack_handles.range().map(|index| String::from_utf8(ack_handles.get(index).to_vec()).unwrap()).collect()
}

#[test]
fn handles_are_copied_unchanged() {
    let scope = [Str::new("stream"), Str::new("group")];
    let ack_handles = read(&table(&scope, &[3, 3, 6]), 2).unwrap();
    assert_eq!(
        (texts(&ack_handles), ack_handles.scope()),
        (vec!["1-0".into(), String::new(), "2-0".into()], &["stream".to_owned(), "group".to_owned()][..])
    );
    assert_eq!(read(&table(&[], &[]), 0).unwrap().range(), 0..0);
}

#[test]
fn each_breach_of_the_contract_is_named() {
    let (scope, good) = ([Str::new("stream")], table(&[], &[3, 6]));
    let long = abi::AckHandles { n_scope: SCOPE + 1, ..good };
    let cases: [(abi::AckHandles, usize, &str); 9] = [
        (good, 3, "3 events have 2 acknowledgement handles, and each needs one"),
        (abi::AckHandles { struct_size: 12, ..good }, 2, "`ack_handles` says that it has 12 bytes"),
        (
            abi::AckHandles { first: 1, ..good },
            2,
            "the acknowledgement handles of a source begin with number 1",
        ),
        (abi::AckHandles { n: EVENTS + 1, ..good }, 2, "16777217 acknowledgement handles from number 0 on"),
        (long, 2, "2 acknowledgement handles from number 0 on, with 17 texts"),
        (abi::AckHandles { end: std::ptr::null(), ..good }, 2, "`end` is NULL"),
        (abi::AckHandles { n_scope: 1, scope: std::ptr::null(), ..good }, 2, "`scope` is NULL"),
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
        let error = read(&table, events).expect_err(expected);
        assert!(error.starts_with(expected), "{error}");
    }
    for ends in [[6, 3], [3, u32::MAX]] {
        let error = read(&table(&scope, &ends), 2).unwrap_err();
        assert!(error.starts_with("the acknowledgement handles are not in order"), "{error}");
    }
    let large = vec![b'x'; HANDLE + 1];
    let table = abi::AckHandles { bytes: large.as_ptr(), n: 1, ..table(&[], &[large.len() as u32]) };
    assert!(read(&table, 1).unwrap_err().starts_with("an acknowledgement handle has 4097 bytes"));
}

#[test]
fn handle_of_a_refused_event_is_moved_after_the_others() {
    let mut handles = AckHandles::new(&Arc::default());
    ["1-0", "2-0", "3-0", "4-0"].iter().for_each(|text| handles.push(text.as_bytes()));
    assert_eq!(texts(&move_last(handles, &[1])), ["1-0", "3-0", "4-0", "2-0"]);
}

proptest! {
    /// Whatever the numbers are, there is a handle for each event or none at all.
    #[test]
    fn table_has_a_handle_for_each_event_or_is_refused(ends in prop::collection::vec(0_u32..20, 0..6), events in 0_usize..6) {
        if let Ok(handles) = read(&table(&[], &ends), events) {
            prop_assert!(handles.range().end >= events);
            prop_assert_eq!(handles.bytes(), &BYTES_THERE[..ends.last().copied().unwrap_or_default() as usize]);
        }
    }
}
