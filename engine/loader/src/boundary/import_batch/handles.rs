//! Imports acknowledgement handles of a library.

use std::sync::Arc;

use tidegate_abi as abi;
use tidegate_sdk::Receipts;

use super::{EVENTS, column, text};
use crate::library::tables::read;

/// The limit for texts in the scope of the handles of a batch.
pub(crate) const SCOPE: u32 = 16;
/// The limit for a handle, in bytes.
pub(crate) const HANDLE: usize = 4 << 10;
/// The limit for all handles of a batch together, in bytes.
pub(crate) const HANDLES_BYTES: u32 = 256 << 20;

/// Imports the handles of a source's batch with this number of events.
///
/// # Errors
/// The way in which they break the contract.
///
/// # Safety
/// `table` is NULL, or points to handles as the header describes them.
pub(super) unsafe fn handed_over(
    table: *const abi::AckHandles,
    events: u32,
) -> Result<Option<Receipts>, String> {
    if table.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller guarantees it, here and below.
    let table = unsafe { read(table, size_of::<abi::AckHandles>(), "`ack_handles`")? };
    let abi::AckHandles { n, n_scope, first, .. } = table;
    if n > EVENTS || n_scope > SCOPE || first != 0 {
        return Err(format!(
            "{n} acknowledgement handles from number {first} on, with {n_scope} texts, exceed the limits of a source ({EVENTS}, 0, {SCOPE})"
        ));
    }
    if n < events {
        return Err(format!("{events} events have {n} acknowledgement handles, and each needs one"));
    }
    // SAFETY: as above.
    let scope = unsafe { column(table.scope, n_scope, "scope")? }.unwrap_or_default();
    // SAFETY: as above.
    let ends = unsafe { column(table.end, n, "end")? }.unwrap_or_default();
    if scope.len() < n_scope as usize || ends.len() < n as usize {
        return Err("`scope` or `end` of the acknowledgement handles is NULL".into());
    }
    let last = ends.last().copied().unwrap_or_default();
    if !ends.is_sorted() || last > HANDLES_BYTES || (table.bytes.is_null() && last > 0) {
        return Err(format!(
            "the acknowledgement handles are not in order, or {last} bytes of them are missing"
        ));
    }
    // SAFETY: as above.
    let read = |one: &abi::Str| unsafe { text(*one, "the scope of the acknowledgement handles") };
    let scope: Result<Vec<String>, String> = scope.iter().map(read).collect();
    // SAFETY: as above.
    let bytes = unsafe { abi::Buf { p: table.bytes, n: last.into() }.bytes() };
    let scope: Arc<[String]> = scope?.into();
    let (mut receipts, mut start) = (Receipts::new(&scope), 0);
    for end in ends {
        let receipt = &bytes[start..*end as usize];
        if receipt.len() > HANDLE {
            return Err(format!(
                "an acknowledgement handle has {} bytes, and may have {HANDLE}",
                receipt.len()
            ));
        }
        receipts.push(receipt);
        start = *end as usize;
    }
    Ok(Some(receipts))
}

/// Moves the handles of these events, which were refused after all, behind all others.
pub(super) fn behind(receipts: Receipts, refused: &[usize]) -> Receipts {
    if refused.is_empty() {
        return receipts;
    }
    let mut sorted = Receipts::new(&receipts.scope().to_vec().into());
    let stays = |index: &usize| refused.binary_search(index).is_err();
    let kept = receipts.range().filter(stays);
    kept.chain(refused.iter().copied()).for_each(|index| sorted.push(receipts.get(index)));
    sorted
}

#[cfg(test)]
mod tests;
