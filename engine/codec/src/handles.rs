//! Acknowledgement handles: the tables of the ABI, and their form in shared memory.

use tidegate_abi::{self as abi, Buf, Str};
use tidegate_sdk::AckHandles;

use crate::columns::{required, text};
use crate::limits::{EVENTS, HANDLE, HANDLES_BYTES, SCOPE};

/// Encoded acknowledgement handles with the memory that their table points to.
pub struct EncodedHandles {
    table: abi::AckHandles,
    _owned: (AckHandles, Vec<Str>, Vec<u32>),
}

// SAFETY: the pointers of the table point to heap memory of `_owned`, which does not change and moves with the table.
unsafe impl Send for EncodedHandles {}

impl EncodedHandles {
    /// Encodes the handles.
    pub fn new(handles: &AckHandles) -> Self {
        let handles = handles.clone();
        let scope: Vec<Str> = handles.scope().iter().map(|text| Str::new(text)).collect();
        let ends = handles.range().scan(0, |end, index| {
            *end += handles.get(index).len() as u32;
            Some(*end)
        });
        let ends: Vec<u32> = ends.collect();
        let table = abi::AckHandles {
            struct_size: size_of::<abi::AckHandles>() as u32,
            n_scope: scope.len() as u32,
            scope: scope.as_ptr(),
            first: handles.range().start as u32,
            n: ends.len() as u32,
            bytes: handles.bytes().as_ptr(),
            end: ends.as_ptr(),
        };
        Self { table, _owned: (handles, scope, ends) }
    }

    /// The table.
    pub fn table(&self) -> *const abi::AckHandles {
        &raw const self.table
    }
}

/// Reads the handles of a table.
///
/// # Errors
/// The way in which they break the contract.
///
/// # Safety
/// `table` is NULL, or points to handles as the header describes them.
pub unsafe fn read_handles(table: *const abi::AckHandles) -> Result<AckHandles, String> {
    // SAFETY: the caller guarantees it, here and below.
    let table = unsafe { abi::read_checked(table, size_of::<abi::AckHandles>(), "`ack_handles`")? };
    let abi::AckHandles { n, n_scope, first, .. } = table;
    if u64::from(first) + u64::from(n) > EVENTS.into() || n_scope > SCOPE {
        return Err(format!(
            "{n} acknowledgement handles from number {first} on, with {n_scope} texts, exceed the limits of a batch ({EVENTS}, {SCOPE})"
        ));
    }
    // SAFETY: as above.
    let (scope, ends) = unsafe { (required(table.scope, n_scope, "scope")?, required(table.end, n, "end")?) };
    let last = ends.last().copied().unwrap_or_default();
    if !ends.is_sorted() || last > HANDLES_BYTES || (table.bytes.is_null() && last > 0) {
        return Err(format!(
            "the acknowledgement handles are not in order, or {last} bytes of them are missing"
        ));
    }
    // SAFETY: as above.
    let read = |one: &Str| unsafe { text(*one, "the scope of the acknowledgement handles") };
    let scope: Result<Vec<String>, String> = scope.iter().map(read).collect();
    // SAFETY: as above.
    let bytes = unsafe { Buf { p: table.bytes, n: last.into() }.bytes() };
    let (mut handles, mut start) = (AckHandles::of_part(&scope?.into(), first as usize), 0);
    for end in ends {
        let handle = &bytes[start..*end as usize];
        if handle.len() > HANDLE {
            return Err(format!(
                "an acknowledgement handle has {} bytes, and may have {HANDLE}",
                handle.len()
            ));
        }
        handles.push(handle);
        start = *end as usize;
    }
    Ok(handles)
}

/// Checks that these are the handles of a source's batch with this number of events.
pub(crate) fn check(handles: &AckHandles, events: usize) -> Result<(), String> {
    let range = handles.range();
    if range.start != 0 {
        return Err(format!("the acknowledgement handles of a source begin with number {}", range.start));
    }
    if range.end < events {
        return Err(format!(
            "{events} events have {} acknowledgement handles, and each needs one",
            range.end
        ));
    }
    Ok(())
}

/// Moves the handles of these events, which were refused after all, after all others.
pub(crate) fn move_last(handles: AckHandles, refused: &[usize]) -> AckHandles {
    if refused.is_empty() {
        return handles;
    }
    let mut sorted = AckHandles::new(&handles.scope().to_vec().into());
    let stays = |index: &usize| refused.binary_search(index).is_err();
    let kept = handles.range().filter(stays);
    kept.chain(refused.iter().copied()).for_each(|index| sorted.push(handles.get(index)));
    sorted
}

#[cfg(test)]
mod tests;
