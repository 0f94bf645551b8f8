//! The columns of a batch, as the ABI defines them.

use tidegate_abi::{self as abi, Attr, Str, View, size_through};

use crate::limits::{ATTRIBUTES, BUFFERS, EVENTS, NAME};

/// The columns of a batch. A column that is `None` has no value for any event.
///
/// Views name buffers of the batch, which are passed beside the columns. Names and texts of attributes lie in a buffer of
/// their own.
#[derive(Clone, Copy, Default)]
pub struct Columns<'a> {
    /// The payload of each event.
    pub data: &'a [View],
    /// The key of each event; its buffer is [`abi::NONE`] for an event without a key.
    pub key: Option<&'a [View]>,
    /// The time of each event in nanoseconds since 1970 (UTC), or [`abi::NO_TIME`].
    pub time: Option<&'a [i64]>,
    /// In a batch for a plugin: the source index of each event. In a batch of a filter: the index in the input of the
    /// event that each event was made from.
    pub from: Option<&'a [u32]>,
    /// The end of each event's own attributes in `attr`.
    pub attr_end: Option<&'a [u32]>,
    /// Attributes of events, followed by those of runs.
    pub attr: &'a [Attr],
}

impl<'a> Columns<'a> {
    /// Reads the columns of a table.
    ///
    /// # Errors
    /// The table exceeds a limit, or a required column is missing.
    ///
    /// # Safety
    /// Each pointer is NULL, or points to as many entries as the header says, which do not change for `'a`.
    pub unsafe fn read(table: &abi::Batch) -> Result<Self, String> {
        let abi::Batch { n, n_buf, n_attr, n_refused, n_common, .. } = *table;
        if n > EVENTS || n_buf > BUFFERS || n_attr > ATTRIBUTES || n_refused > EVENTS {
            return Err(format!(
                "a batch of {n} events, {n_buf} buffers and {n_attr} attributes is beyond what is allowed ({EVENTS}, {BUFFERS}, {ATTRIBUTES})"
            ));
        }
        if n_common > n_attr {
            return Err(format!("{n_common} of {n_attr} attributes cannot be common"));
        }
        // SAFETY: the caller guarantees it.
        unsafe {
            Ok(Self {
                data: required(table.data, n, "data")?,
                key: column(table.key, n, "key")?,
                time: column(table.time, n, "time")?,
                from: column(table.from, n, "from")?,
                attr_end: column(table.attr_end, n, "attr_end")?,
                attr: required(table.attr, n_attr, "attr")?,
            })
        }
    }

    /// Makes `table` point to the columns.
    pub fn set(&self, table: &mut abi::Batch) {
        fn start<T>(column: Option<&[T]>) -> *const T {
            column.map_or(std::ptr::null(), <[T]>::as_ptr)
        }
        table.n = self.data.len() as u32;
        table.n_attr = self.attr.len() as u32;
        table.data = self.data.as_ptr();
        table.key = start(self.key);
        table.time = start(self.time);
        table.from = start(self.from);
        table.attr_end = start(self.attr_end);
        table.attr = self.attr.as_ptr();
    }
}

/// A column of a table, if the table has it.
///
/// # Errors
/// The column is not aligned.
///
/// # Safety
/// It is NULL, or points to this number of entries, which do not change for `'a`.
pub unsafe fn column<'a, T>(entries: *const T, count: u32, what: &str) -> Result<Option<&'a [T]>, String> {
    match (entries.is_null(), entries.is_aligned()) {
        (true, _) => Ok(None),
        (false, false) => Err(format!("`{what}` is not aligned")),
        // SAFETY: the caller guarantees it.
        (false, true) => Ok(Some(unsafe { std::slice::from_raw_parts(entries, count as usize) })),
    }
}

/// A column that may be NULL only if it has no entries.
///
/// # Safety
/// As [`column`].
pub(crate) unsafe fn required<'a, T>(entries: *const T, count: u32, what: &str) -> Result<&'a [T], String> {
    // SAFETY: the caller guarantees it.
    match unsafe { column(entries, count, what)? } {
        None if count > 0 => Err(format!("`{what}` is NULL")),
        entries => Ok(entries.unwrap_or_default()),
    }
}

/// Reads the table of a batch as far as its `struct_size` reaches.
///
/// # Errors
/// It is NULL, not aligned, or ends before its required fields.
///
/// # Safety
/// `table` is NULL, or points to as many bytes as its first field says.
pub unsafe fn read_table(table: *const abi::Batch) -> Result<abi::Batch, String> {
    // SAFETY: the caller guarantees it.
    unsafe { abi::read_checked(table, size_through!(abi::Batch, owner), "a batch") }
}

/// Reads a text of the other side.
///
/// # Errors
/// It is too long, or not UTF-8.
///
/// # Safety
/// It points to as many bytes as it says.
pub unsafe fn text(text: Str, what: &str) -> Result<String, String> {
    if text.n > NAME || (text.p.is_null() && text.n > 0) {
        return Err(format!("{what} has {} bytes, and may have {NAME}", text.n));
    }
    // SAFETY: the caller guarantees it, and it is not null.
    let bytes = unsafe { text.bytes() };
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("{what} is not UTF-8"))
}
