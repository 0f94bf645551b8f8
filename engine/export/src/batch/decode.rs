//! Decodes a batch of the engine: a [`Batch`] over the same bytes.

use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Buf};
use tidegate_codec::{Columns, Incoming, MetadataLimit, Names, RunEntry, column, read_handles};
use tidegate_sdk::{AckHandles, Batch, Error, Position};

/// Decodes the batch at `given`. In it, an event's input index is its own, so that output refers to this batch.
///
/// # Errors
/// It is not a batch.
///
/// # Safety
/// `given` is a batch that a plugin receives, as the header describes it, and valid until this returns.
pub(crate) unsafe fn batch(given: *const abi::Batch, names: &mut Names) -> Result<Batch, Error> {
    // SAFETY: the caller guarantees it, here and below.
    let table = unsafe { abi::read(given) };
    let mut metadata = MetadataLimit::none();
    let mut decoded = || {
        // SAFETY: as above.
        let (columns, runs, buffers) =
            unsafe { (Columns::read(&table)?, column(table.run, table.n_run, "run")?, buffers(&table)) };
        // SAFETY: as above.
        let read = |run: &abi::Run| unsafe { RunEntry::read(run) };
        let runs: Vec<RunEntry<'_>> = runs.unwrap_or_default().iter().map(read).collect();
        Incoming::new(columns, buffers, &mut metadata)?.batch(&runs, names)
    };
    decoded().map_err(unreadable)
}

/// Decodes acknowledgement handles.
///
/// # Errors
/// They are not handles.
///
/// # Safety
/// `given` is as the header describes it, and valid for the call.
pub(crate) unsafe fn ack_handles(given: *const abi::AckHandles) -> Result<AckHandles, Error> {
    // SAFETY: the caller guarantees it.
    unsafe { read_handles(given) }.map_err(unreadable)
}

#[allow(clippy::needless_pass_by_value, reason = "used in `map_err`")]
fn unreadable(why: String) -> Error {
    Error::fatal(format!("the batch of the engine cannot be read: {why}"))
}

/// A reference to the engine's buffers.
struct Held {
    owner: *mut c_void,
    release: unsafe extern "C" fn(owner: *mut c_void),
}

// SAFETY: `release` may be called from any thread, and the owner is used for nothing else.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: this is the only `release` for one `retain`, and its bytes are no longer used.
        unsafe { (self.release)(self.owner) }
    }
}

/// Bytes of the engine with the reference that keeps them valid.
struct Borrowed {
    bytes: Buf,
    _held: Arc<Held>,
}

// SAFETY: the bytes do not change while they are retained, so any thread may read them.
unsafe impl Send for Borrowed {}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: they are valid as long as `_held`.
        unsafe { self.bytes.bytes() }
    }
}

/// # Safety
/// As [`batch`].
unsafe fn buffers(given: &abi::Batch) -> Vec<Bytes> {
    // SAFETY: the caller guarantees it.
    let buffers = unsafe { column(given.buf, given.n_buf, "buf") };
    let buffers = buffers.ok().flatten().unwrap_or_default();
    let (Some(retain), Some(release)) = (given.retain, given.release) else {
        // SAFETY: they are valid until the caller returns.
        return buffers.iter().map(|buffer| Bytes::copy_from_slice(unsafe { buffer.bytes() })).collect();
    };
    // SAFETY: the operation has not ended.
    unsafe { retain(given.owner) }
    let held = Arc::new(Held { owner: given.owner, release });
    let share = |bytes: &Buf| match bytes.n {
        0 => Bytes::new(),
        _ => Bytes::from_owner(Borrowed { bytes: *bytes, _held: Arc::clone(&held) }),
    };
    buffers.iter().map(share).collect()
}

/// # Safety
/// The bytes are valid for the call.
pub(crate) unsafe fn position(position: Buf) -> Option<Position> {
    // SAFETY: the caller guarantees it.
    let bytes = (!position.p.is_null()).then(|| unsafe { position.bytes() })?;
    Some(Position::from_bytes(Bytes::copy_from_slice(bytes)))
}
