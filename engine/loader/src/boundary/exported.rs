//! Batches for a library: the same bytes and, where the layout is the same, the same columns.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tidegate_abi::{self as abi, Buf, Run, Str};
use tidegate_codec::{Encoder, RunEntry};
use tidegate_sdk::{Batch, Error};

/// The part of an exported batch that a library may retain: the bytes.
pub(crate) struct SharedBatch {
    pub(crate) batch: Batch,
    /// Names and texts of attributes, as an additional buffer.
    pub(crate) texts: Bytes,
    /// The number of references that the library holds.
    retained: AtomicUsize,
    /// True if it has released a reference that it did not hold.
    over_released: AtomicBool,
}

impl SharedBatch {
    /// The buffers that the library sees.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        self.batch.buffers().iter().chain((!self.texts.is_empty()).then_some(&self.texts))
    }
}

/// A batch that is exported to a library for one operation.
pub(crate) struct ExportedBatch {
    shared: Arc<SharedBatch>,
    table: abi::Batch,
    _memory: (Encoder, Vec<Buf>, Vec<Run>),
}

// SAFETY: the pointers of the table point into `shared` and `_memory`, which do not change and move with the table.
unsafe impl Send for ExportedBatch {}
// SAFETY: as above.
unsafe impl Sync for ExportedBatch {}

impl ExportedBatch {
    /// Exports a batch.
    ///
    /// # Errors
    /// Its attributes are too large.
    pub(crate) fn new(batch: &Batch) -> Result<Self, Error> {
        let mut encoder = Encoder::default();
        // SAFETY: the first field of `Batch` is its size.
        let mut table: abi::Batch = unsafe { abi::sized() };
        let (columns, texts) = encoder.whole(batch, batch.buffers().len() as u32)?;
        columns.set(&mut table);
        let shared = Arc::new(SharedBatch {
            batch: batch.clone(),
            texts,
            retained: AtomicUsize::new(0),
            over_released: AtomicBool::new(false),
        });
        let buffers: Vec<Buf> = shared.buffers().map(|buffer| Buf::new(buffer)).collect();
        let runs: Vec<Run> = encoder.runs(batch).map(|run| RunEntry::table(&run)).collect();
        (table.buf, table.n_buf) = (buffers.as_ptr(), buffers.len() as u32);
        (table.run, table.n_run) = (runs.as_ptr(), runs.len() as u32);
        (table.partition, table.position) = (Str::EMPTY, Buf::NONE);
        table.owner = Arc::as_ptr(&shared).cast_mut().cast();
        table.retain = Some(retain);
        table.release = Some(release);
        Ok(Self { shared, table, _memory: (encoder, buffers, runs) })
    }

    /// The table for the library.
    pub(crate) fn table(&self) -> *const abi::Batch {
        &raw const self.table
    }

    /// Checks that the library has not released references that it did not hold. A release after the operation is not
    /// noticed.
    ///
    /// # Errors
    /// The way in which it broke the contract.
    pub(crate) fn sound(&self) -> Result<(), String> {
        if self.shared.over_released.load(Ordering::Relaxed) {
            return Err("a batch is released more often than it was retained".into());
        }
        Ok(())
    }

    /// The batch and its texts.
    pub(crate) fn shared(&self) -> &Arc<SharedBatch> {
        &self.shared
    }
}

unsafe extern "C" fn retain(owner: *mut c_void) {
    let shared = owner.cast_const().cast::<SharedBatch>();
    // SAFETY: the owner is that of a batch that is exported now, or that was retained before.
    unsafe {
        (*shared).retained.fetch_add(1, Ordering::Relaxed);
        Arc::increment_strong_count(shared);
    }
}

unsafe extern "C" fn release(owner: *mut c_void) {
    let shared = owner.cast_const().cast::<SharedBatch>();
    // SAFETY: as above. The released reference keeps it alive until the last line.
    unsafe {
        let less = |retained: usize| retained.checked_sub(1);
        match (*shared).retained.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less) {
            Ok(_) => Arc::decrement_strong_count(shared),
            Err(_) => (*shared).over_released.store(true, Ordering::Relaxed),
        }
    }
}
