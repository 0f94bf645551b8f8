//! Acknowledgement handles in shared memory, after the batch that they belong to.

use std::sync::Arc;

use tidegate_sdk::Receipts;

use crate::boundary::import_batch::handles::{HANDLE, HANDLES_BYTES, SCOPE};
use crate::process::shared::pack::Packer;
use crate::process::shared::unpack::{EVENTS, Unpacker};

/// Writes the handles.
pub(crate) fn pack(packer: &mut Packer<'_>, receipts: &Receipts) {
    packer.number(receipts.scope().len() as u32);
    receipts.scope().iter().for_each(|text| packer.bytes(text.as_bytes()));
    let range = receipts.range();
    packer.number(range.start as u32);
    packer.number(range.len() as u32);
    range.for_each(|index| packer.bytes(receipts.get(index)));
}

/// Reads the handles.
///
/// # Errors
/// The bytes are not handles.
pub(crate) fn unpack(unpacker: &mut Unpacker) -> Result<Receipts, String> {
    let texts = unpacker.number()?;
    if texts > SCOPE {
        return Err(format!(
            "the acknowledgement handles have {texts} texts in their scope, and may have {SCOPE}"
        ));
    }
    let scope: Result<Vec<String>, String> =
        (0..texts).map(|_| unpacker.text("the scope of the acknowledgement handles")).collect();
    let scope: Arc<[String]> = scope?.into();
    let (first, count) = (unpacker.number()? as usize, unpacker.number()? as usize);
    if first.saturating_add(count) > EVENTS {
        return Err(format!(
            "{count} acknowledgement handles from {first} on are more than a batch may have ({EVENTS})"
        ));
    }
    let (mut receipts, mut bytes) = (Receipts::of_part(&scope, first), 0);
    for _ in 0..count {
        let handle = unpacker.blob(HANDLE, "an acknowledgement handle")?;
        bytes += handle.len();
        if bytes > HANDLES_BYTES as usize {
            return Err(format!(
                "the acknowledgement handles of a batch have more than {HANDLES_BYTES} bytes"
            ));
        }
        receipts.push(handle);
    }
    Ok(receipts)
}
