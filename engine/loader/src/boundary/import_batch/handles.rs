//! Receipts that came from a library.

use std::sync::Arc;

use tidegate_abi as abi;
use tidegate_sdk::Receipts;

use super::{EVENTS, column, text};
use crate::library::tables::read;

/// No more texts hold for all receipts of a batch.
pub(crate) const SCOPE: u32 = 16;
/// No receipt is longer, in bytes.
pub(crate) const HANDLE: usize = 4 << 10;
/// All receipts of a batch together are no longer, in bytes.
pub(crate) const HANDLES_BYTES: u32 = 256 << 20;

/// What a source hands over with a batch of so many events.
///
/// # Errors
/// How it breaks the contract.
///
/// # Safety
/// `table` is NULL, or points to receipts as the header describes them.
pub(super) unsafe fn handed_over(
    table: *const abi::AckHandles,
    events: u32,
) -> Result<Option<Receipts>, String> {
    if table.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises, here and below.
    let table = unsafe { read(table, size_of::<abi::AckHandles>(), "`receipts`")? };
    let abi::AckHandles { n, n_scope, first, .. } = table;
    if n > EVENTS || n_scope > SCOPE || first != 0 {
        return Err(format!(
            "{n} receipts from number {first} on, with {n_scope} texts, are not what a source hands over ({EVENTS}, 0, {SCOPE})"
        ));
    }
    if n < events {
        return Err(format!("{events} events have {n} receipts, and each is to have one"));
    }
    let scope = unsafe { column(table.scope, n_scope, "scope")? }.unwrap_or_default();
    let ends = unsafe { column(table.end, n, "end")? }.unwrap_or_default();
    if scope.len() < n_scope as usize || ends.len() < n as usize {
        return Err("`scope` or `end` of the receipts is NULL".into());
    }
    let last = ends.last().copied().unwrap_or_default();
    if !ends.is_sorted() || last > HANDLES_BYTES || (table.bytes.is_null() && last > 0) {
        return Err(format!("the receipts are not in order, or {last} bytes of them are not there"));
    }
    let scope: Result<Vec<String>, String> =
        scope.iter().map(|one| unsafe { text(*one, "what holds for the receipts") }).collect();
    let bytes = unsafe { abi::Buf { p: table.bytes, n: last.into() }.bytes() };
    let scope: Arc<[String]> = scope?.into();
    let (mut receipts, mut start) = (Receipts::new(&scope), 0);
    for end in ends {
        let receipt = &bytes[start..*end as usize];
        if receipt.len() > HANDLE {
            return Err(format!("a receipt has {} bytes, and may have {HANDLE}", receipt.len()));
        }
        receipts.push(receipt);
        start = *end as usize;
    }
    Ok(Some(receipts))
}

/// The same receipts with those of these events behind all others: what they are of did not become an event after all.
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
