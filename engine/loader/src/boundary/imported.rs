//! Batches of a library: taken over with the duty to release their buffers, and checked before use.

use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Buf};
use tidegate_codec::{Columns, Incoming, MetadataLimit, RunEntry, column, read_handles, read_table, text};
use tidegate_sdk::{Batch, SourceBatch, SourceRejection};

use crate::boundary::exported::SharedBatch;

/// Imports a batch that a filter has emitted.
///
/// # Errors
/// The way in which it breaks the contract.
///
/// # Safety
/// `table` is NULL, or points to a batch whose pointers are valid as the header describes.
pub(crate) unsafe fn emitted(input: &SharedBatch, table: *const abi::Batch) -> Result<Batch, String> {
    let mut metadata = MetadataLimit::default();
    // SAFETY: the caller guarantees it.
    let (incoming, _) = unsafe { incoming(table, input.buffers().cloned().collect(), &mut metadata)? };
    incoming.derived(&input.batch)
}

/// Imports a batch that a source has read. Returns it with the source's number.
///
/// # Errors
/// The way in which it breaks the contract.
///
/// # Safety
/// As [`emitted`].
pub(crate) unsafe fn read_by_source(
    table: *const abi::Batch,
    event_size: usize,
) -> Result<(SourceBatch, u64), String> {
    let mut metadata = MetadataLimit::default();
    // SAFETY: the caller guarantees it, here and below.
    let (incoming, table) = unsafe { incoming(table, Vec::new(), &mut metadata)? };
    // SAFETY: as above.
    let (run, rejected) = unsafe { (RunEntry::of_source(&table)?, refused(&incoming, &table)?) };
    let handles = if table.ack_handles.is_null() {
        None
    } else {
        // SAFETY: as above.
        Some(unsafe { read_handles(table.ack_handles)? })
    };
    Ok((incoming.source_batch(&run, rejected, handles, event_size)?, table.seq))
}

/// Calls `release` of the library once, when its buffers are no longer in use.
struct Release {
    release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    owner: *mut c_void,
}

// SAFETY: the contract lets `release` be called from any thread.
unsafe impl Send for Release {}
// SAFETY: shared references give no access; only the drop calls the library.
unsafe impl Sync for Release {}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: this is the only call, and no view into the buffers is left.
            unsafe { release(self.owner) };
        }
    }
}

/// A buffer of a library.
struct Buffer {
    bytes: Buf,
    _release: Arc<Release>,
}

// SAFETY: the contract says that the bytes do not change until `release`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes are valid until `_release` is dropped.
        unsafe { self.bytes.bytes() }
    }
}

/// Reads a batch and takes over its buffers, which follow `buffers`: they are released once, whatever is in the batch.
unsafe fn incoming<'a>(
    table: *const abi::Batch,
    mut buffers: Vec<Bytes>,
    metadata: &'a mut MetadataLimit,
) -> Result<(Incoming<'a>, abi::Batch), String> {
    // SAFETY: the caller guarantees it, here and below.
    let table = unsafe { read_table(table)? };
    let release = Arc::new(Release { release: table.release, owner: table.owner });
    // SAFETY: as above.
    let (columns, own) = unsafe { (Columns::read(&table)?, column(table.buf, table.n_buf, "buf")?) };
    let own = own.unwrap_or_default();
    for (number, bytes) in own.iter().enumerate() {
        if (bytes.p.is_null() && bytes.n > 0) || bytes.n > u64::from(u32::MAX) {
            return Err(format!("buffer {number} is not {} bytes", bytes.n));
        }
        buffers.push(Bytes::from_owner(Buffer { bytes: *bytes, _release: Arc::clone(&release) }));
    }
    if own.len() < table.n_buf as usize {
        return Err("`buf` is NULL".into());
    }
    Ok((Incoming::new(columns, buffers, metadata)?, table))
}

/// The input that a source could not turn into events.
unsafe fn refused(incoming: &Incoming<'_>, table: &abi::Batch) -> Result<Vec<SourceRejection>, String> {
    // SAFETY: the table guarantees this number of entries for the call.
    let refused = unsafe { column(table.refused, table.n_refused, "refused")? };
    let refused = refused.unwrap_or_default().iter().map(|one| {
        // SAFETY: as above.
        let reason = unsafe { text(one.reason, "a reason")? };
        let payload = incoming.piece(one.data, "refused input")?;
        Ok(SourceRejection { payload, length: one.length, reason })
    });
    refused.collect()
}
