//! Exports a batch to a library: the same bytes and, where the layout is the same, the same columns.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use tidegate_abi::{self as abi, Attr, AttrValue, Buf, Run, Str, View};
use tidegate_sdk::{AttributeValue, Attributes, Batch, Receipts, Span};

/// The part of an exported batch that a library may retain: the bytes.
pub(crate) struct SharedBatch {
    pub(crate) batch: Batch,
    /// Names and texts of attributes, as an additional buffer.
    pub(crate) texts: Bytes,
    /// The number of references that the library holds.
    retained: AtomicUsize,
    /// Whether it has released a reference that it did not hold.
    over_released: AtomicBool,
}

/// A batch that is exported to a library for one operation.
pub(crate) struct ExportedBatch {
    shared: Arc<SharedBatch>,
    table: abi::Batch,
    _columns: Columns,
}

/// Acknowledgement handles that are exported to a library for one operation.
pub(crate) struct ExportedHandles {
    table: abi::AckHandles,
    _owned: (Receipts, Vec<Str>, Vec<u32>),
}

// SAFETY: the pointers of the table point to heap memory of `_owned`, which does not change and moves with the table.
unsafe impl Send for ExportedHandles {}

impl ExportedHandles {
    /// Exports the handles.
    pub(crate) fn new(receipts: &Receipts) -> Self {
        let (receipts, range) = (receipts.clone(), receipts.range());
        let scope: Vec<Str> = receipts.scope().iter().map(|text| Str::new(text)).collect();
        let mut last = 0;
        let ends = range.clone().map(|index| {
            last += receipts.get(index).len() as u32;
            last
        });
        let ends: Vec<u32> = ends.collect();
        let table = abi::AckHandles {
            struct_size: size_of::<abi::AckHandles>() as u32,
            n_scope: scope.len() as u32,
            scope: scope.as_ptr(),
            first: range.start as u32,
            n: ends.len() as u32,
            bytes: receipts.bytes().as_ptr(),
            end: ends.as_ptr(),
        };
        Self { table, _owned: (receipts, scope, ends) }
    }

    /// The table for the library.
    pub(crate) fn table(&self) -> *const abi::AckHandles {
        &raw const self.table
    }
}

/// The memory that the table points to.
struct Columns {
    buffers: Vec<Buf>,
    runs: Vec<Run>,
    attributes: Vec<Attr>,
    attribute_ends: Vec<u32>,
}

// SAFETY: the pointers of the table point into `shared` and `_columns`, which do not change and move with the table.
unsafe impl Send for ExportedBatch {}
// SAFETY: as above.
unsafe impl Sync for ExportedBatch {}

impl ExportedBatch {
    /// Exports a batch.
    pub(crate) fn new(batch: &Batch) -> Self {
        let mut texts = Texts { buffer: batch.buffers().len() as u32, bytes: BytesMut::new() };
        let mut attributes = Vec::new();
        let attribute_ends = own_attributes(batch, &mut texts, &mut attributes);
        let mut runs = Vec::with_capacity(batch.runs().len());
        for run in batch.runs() {
            let first = attributes.len();
            texts.add(&run.origin.attributes, &mut attributes);
            let origin = &run.origin;
            let position = origin.position.as_ref();
            runs.push(Run {
                end: run.end,
                attr: first as u32,
                n_attr: (attributes.len() - first) as u32,
                reserved: 0,
                first: origin.first,
                sequence: origin.sequence,
                source: Str::new(&origin.source),
                partition: Str::new(&origin.partition),
                position: position.map_or(Buf::NONE, |position| Buf::new(position.as_bytes())),
            });
        }
        let shared = Arc::new(SharedBatch {
            batch: batch.clone(),
            texts: texts.bytes.freeze(),
            retained: AtomicUsize::new(0),
            over_released: AtomicBool::new(false),
        });
        let mut buffers: Vec<Buf> = batch.buffers().iter().map(|buffer| Buf::new(buffer)).collect();
        if !shared.texts.is_empty() {
            buffers.push(Buf::new(&shared.texts));
        }
        let columns = Columns { buffers, runs, attributes, attribute_ends };
        Self { table: table(&shared, &columns), shared, _columns: columns }
    }

    /// The table for the library.
    pub(crate) fn table(&self) -> *const abi::Batch {
        &raw const self.table
    }

    /// Checks that the library has not released references that it did not hold. A release after the operation is not
    /// noticed.
    ///
    /// # Errors
    /// How it broke the contract.
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

fn table(shared: &Arc<SharedBatch>, columns: &Columns) -> abi::Batch {
    const { assert!(size_of::<Span>() == size_of::<View>() && Span::NONE.buffer == abi::NONE) };
    let batch = &shared.batch;
    let some = |spans: Option<&[Span]>| spans.map_or(std::ptr::null(), |spans| spans.as_ptr().cast::<View>());
    // SAFETY: the first field of `Batch` is its size.
    let mut table: abi::Batch = unsafe { abi::sized() };
    table.n = batch.len() as u32;
    table.n_buf = columns.buffers.len() as u32;
    table.n_run = columns.runs.len() as u32;
    table.n_attr = columns.attributes.len() as u32;
    table.buf = columns.buffers.as_ptr();
    table.data = batch.spans().as_ptr().cast();
    table.key = some(batch.key_spans());
    table.time = batch.timestamps().map_or(std::ptr::null(), <[i64]>::as_ptr);
    if !columns.attribute_ends.is_empty() {
        table.attr_end = columns.attribute_ends.as_ptr();
    }
    table.attr = columns.attributes.as_ptr();
    table.run = columns.runs.as_ptr();
    table.from = batch.source_indices().map_or(std::ptr::null(), <[u32]>::as_ptr);
    table.partition = Str::EMPTY;
    table.position = Buf::NONE;
    table.owner = Arc::as_ptr(shared).cast_mut().cast();
    table.retain = Some(retain);
    table.release = Some(release);
    table
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

/// The events' own attributes, and for each event the end of its attributes. Empty if no event has any.
fn own_attributes(batch: &Batch, texts: &mut Texts, attributes: &mut Vec<Attr>) -> Vec<u32> {
    if !batch.has_own_attributes() {
        return Vec::new();
    }
    let mut ends = Vec::with_capacity(batch.len());
    for event in 0..batch.len() {
        if let Some(own) = batch.own_attributes(event) {
            texts.add(own, attributes);
        }
        ends.push(attributes.len() as u32);
    }
    ends
}

/// The buffer of names and texts.
struct Texts {
    buffer: u32,
    bytes: BytesMut,
}

impl Texts {
    fn add(&mut self, attributes: &Attributes, table: &mut Vec<Attr>) {
        for (name, value) in attributes.iter() {
            let name = self.view(name);
            let (kind, value) = match value {
                AttributeValue::Text(text) => (abi::attribute::TEXT, AttrValue { text: self.view(text) }),
                AttributeValue::Integer(number) => (abi::attribute::INTEGER, AttrValue { i: *number }),
                AttributeValue::Float(number) => (abi::attribute::FLOAT, AttrValue { f: *number }),
                AttributeValue::Boolean(yes) => (abi::attribute::BOOLEAN, AttrValue { i: (*yes).into() }),
            };
            table.push(Attr { name, kind, value });
        }
    }

    fn view(&mut self, text: &str) -> View {
        let off = self.bytes.len() as u32;
        self.bytes.put_slice(text.as_bytes());
        View { buf: self.buffer, off, len: text.len() as u32 }
    }
}
