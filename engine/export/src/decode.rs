//! Decodes a batch of the engine: a [`Batch`] over the same bytes.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Attr, Buf, Str, attribute};

use tidegate_sdk::{AttributeValue, Attributes, Batch, Origin, Parts, Position, Receipts, Run, Span};

/// The names of the last batch. The next batch mostly has the same, and then nothing is allocated.
#[derive(Default)]
pub(super) struct Names {
    source: Arc<str>,
    partition: Arc<str>,
}

/// The use of the indices in the column `from`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lineage {
    /// Output refers to this batch by index.
    OfInput,
    /// There is no output.
    OfSource,
}

/// Decodes the batch at `given`.
///
/// # Safety
/// `given` is a batch that a plugin receives, as the header describes it, and valid until this returns.
pub(super) unsafe fn batch(given: *const abi::Batch, names: &mut Names, lineage: Lineage) -> Batch {
    // SAFETY: the caller guarantees it.
    let (given, buffers) = unsafe {
        let given = abi::read(given);
        (given, buffers(&given))
    };
    let count = given.n as usize;
    // SAFETY: a column has one entry for each event.
    let (data, keys, times, from) = unsafe {
        (
            column(given.data, count).unwrap_or_default(),
            column(given.key, count),
            column(given.time, count),
            column(given.from, count),
        )
    };
    let events: Vec<Span> = data.iter().copied().map(span).collect();
    let (lineage, sources) = match (lineage, from) {
        (_, None) => (None, None),
        (Lineage::OfSource, Some(from)) => (Some(from.to_vec()), None),
        (Lineage::OfInput, Some(from)) => (None, Some(from.into())),
    };
    // SAFETY: the caller guarantees it.
    let (attributes, runs) = unsafe {
        let attrs = column(given.attr, given.n_attr as usize).unwrap_or_default();
        (own(&given, attrs, &buffers), runs(&given, attrs, &buffers, names))
    };
    Batch::from_parts(Parts {
        buffers,
        events,
        keys: keys.map(|keys| keys.iter().copied().map(span).collect()),
        timestamps: times.map(<[i64]>::to_vec),
        attributes,
        lineage,
        sources,
        runs,
    })
}

/// # Safety
/// `start` is null, or points to `count` values that live for `'a`.
unsafe fn column<'a, T>(start: *const T, count: usize) -> Option<&'a [T]> {
    // SAFETY: the caller guarantees it.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, count) })
}

fn span(view: abi::View) -> Span {
    Span { buffer: view.buf, offset: view.off, length: view.len }
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
    let buffers = unsafe { column(given.buf, given.n_buf as usize).unwrap_or_default() };
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

/// The events' own attributes. Neighbours with equal attributes share them.
///
/// # Safety
/// As [`batch`].
unsafe fn own(given: &abi::Batch, attrs: &[Attr], buffers: &[Bytes]) -> Option<Vec<Option<Arc<Attributes>>>> {
    // SAFETY: a column has one entry for each event.
    let ends = unsafe { column(given.attr_end, given.n as usize)? };
    let mut start = 0;
    let mut before: (&[Attr], Option<Arc<Attributes>>) = (&[], None);
    let each = ends.iter().map(|end| {
        let these = &attrs[start as usize..*end as usize];
        start = *end;
        if !same(these, before.0) {
            // SAFETY: the type of each attribute names its value.
            before = (these, Some(Arc::new(unsafe { attributes(these, buffers) })));
        }
        before.1.clone().filter(|_| !these.is_empty())
    });
    Some(each.collect())
}

/// Whether two lists of attributes refer to the same bytes.
fn same(one: &[Attr], other: &[Attr]) -> bool {
    let equal = |(one, other): (&Attr, &Attr)| {
        // SAFETY: the type of each attribute names its value; a float is compared by its bits.
        one.name == other.name
            && one.kind == other.kind
            && unsafe {
                match one.kind {
                    attribute::TEXT => one.value.text == other.value.text,
                    _ => one.value.i == other.value.i,
                }
            }
    };
    one.len() == other.len() && one.iter().zip(other).all(equal)
}

/// # Safety
/// The type of each attribute names its value.
unsafe fn attributes(attrs: &[Attr], buffers: &[Bytes]) -> Attributes {
    let text = |view: abi::View| {
        let start = view.off as usize;
        String::from_utf8_lossy(&buffers[view.buf as usize][start..start + view.len as usize]).into_owned()
    };
    let mut attributes = Attributes::default();
    for attr in attrs {
        // SAFETY: the caller guarantees it.
        let value = unsafe {
            match attr.kind {
                attribute::TEXT => AttributeValue::Text(text(attr.value.text)),
                attribute::INTEGER => AttributeValue::Integer(attr.value.i),
                attribute::FLOAT => AttributeValue::Float(attr.value.f),
                attribute::BOOLEAN => AttributeValue::Boolean(attr.value.i != 0),
                // A type of a newer minor, which the plugin does not know.
                _ => continue,
            }
        };
        attributes.set(text(attr.name), value);
    }
    attributes
}

/// # Safety
/// As [`batch`].
unsafe fn runs(given: &abi::Batch, attrs: &[Attr], buffers: &[Bytes], names: &mut Names) -> Vec<Run> {
    // SAFETY: the caller guarantees it.
    let runs = unsafe { column(given.run, given.n_run as usize).unwrap_or_default() };
    // Runs of the same source batch share their origin, which identifies it. Most batches have a single run and need no
    // lookup.
    let mut known: HashMap<(&[u8], u64), Arc<Origin>> = HashMap::new();
    let each = runs.iter().map(|run| {
        // SAFETY: the caller guarantees it.
        let mut origin = || unsafe { Arc::new(origin(run, attrs, buffers, names)) };
        let origin = match runs.len() {
            1 => origin(),
            _ => {
                // SAFETY: the caller guarantees it.
                let source = unsafe { run.source.bytes() };
                Arc::clone(known.entry((source, run.sequence)).or_insert_with(origin))
            }
        };
        Run { end: run.end, origin }
    });
    each.collect()
}

/// # Safety
/// As [`batch`].
unsafe fn origin(run: &abi::Run, attrs: &[Attr], buffers: &[Bytes], names: &mut Names) -> Origin {
    let common = &attrs[run.attr as usize..(run.attr + run.n_attr) as usize];
    // SAFETY: the caller guarantees it.
    unsafe {
        Origin {
            source: familiar(&mut names.source, run.source),
            sequence: run.sequence,
            partition: familiar(&mut names.partition, run.partition),
            position: position(run.position),
            first: run.first,
            attributes: if common.is_empty() {
                Arc::default()
            } else {
                Arc::new(attributes(common, buffers))
            },
            // Known only to the engine.
            before: None,
            events: 0,
            client: None,
        }
    }
}

/// Decodes acknowledgement handles.
///
/// # Safety
/// `given` is as the header describes it, and valid for the call.
pub(super) unsafe fn receipts(given: *const abi::AckHandles) -> Receipts {
    // SAFETY: the caller guarantees it.
    let (given, scope, ends) = unsafe {
        let given = abi::read(given);
        let scope = column(given.scope, given.n_scope as usize).unwrap_or_default();
        (given, scope, column(given.end, given.n as usize).unwrap_or_default())
    };
    // SAFETY: the caller guarantees it.
    let scope: Arc<[String]> = scope.iter().map(|text| unsafe { text.text() }.into_owned()).collect();
    let all = Buf { p: given.bytes, n: ends.last().copied().unwrap_or_default().into() };
    // SAFETY: the caller guarantees it: the end of the last handle is the end of the bytes.
    let (all, mut start) = (unsafe { all.bytes() }, 0);
    let mut receipts = Receipts::of_part(&scope, given.first as usize);
    for end in ends {
        receipts.push(&all[start..*end as usize]);
        start = *end as usize;
    }
    receipts
}

/// # Safety
/// The bytes are valid for the call.
pub(super) unsafe fn position(position: Buf) -> Option<Position> {
    // SAFETY: the caller guarantees it.
    let bytes = (!position.p.is_null()).then(|| unsafe { position.bytes() })?;
    Some(Position::from_bytes(Bytes::copy_from_slice(bytes)))
}

/// # Safety
/// The text is valid for the call.
unsafe fn familiar(known: &mut Arc<str>, text: Str) -> Arc<str> {
    // SAFETY: the caller guarantees it.
    let text = unsafe { text.text() };
    if **known != *text {
        *known = text.into();
    }
    Arc::clone(known)
}
