//! The limits for a batch of the other side, as the header documents them.

/// The limit for events of a batch.
pub const EVENTS: u32 = 1 << 24;
/// The limit for buffers of a batch.
pub(crate) const BUFFERS: u32 = 1 << 16;
/// The limit for attributes of a batch.
pub(crate) const ATTRIBUTES: u32 = 1 << 24;
/// The limit for a name, partition or reason from a library, in bytes.
pub const NAME: u64 = 4 << 10;
/// The limit for a position, in bytes.
pub const POSITION: u64 = 64 << 10;
/// The kept part of an event that exceeds the event size, in bytes.
pub(crate) const HEAD: usize = 64 << 10;

/// The limit for texts in the scope of acknowledgement handles.
pub(crate) const SCOPE: u32 = 16;
/// The limit for an acknowledgement handle, in bytes.
pub(crate) const HANDLE: usize = 4 << 10;
/// The limit for all acknowledgement handles of a batch together, in bytes.
pub(crate) const HANDLES_BYTES: u32 = 256 << 20;

/// Bytes of memory for the metadata of one batch: attributes, origins, rejections. The engine allocates it before the
/// memory budget counts the batch, and a few bytes of a library can ask for a lot of it: many attributes may name the
/// same long text.
pub(crate) const METADATA_BYTES: usize = 64 << 20;

/// Attributes of one event, at most. Their names are compared with each other.
pub(crate) const ATTRIBUTES_PER_EVENT: usize = 256;

/// The memory that is left for the metadata of one batch, in bytes; `None` without a limit.
#[derive(Debug)]
pub struct MetadataLimit(Option<usize>);

impl Default for MetadataLimit {
    fn default() -> Self {
        Self(Some(METADATA_BYTES))
    }
}

impl MetadataLimit {
    /// No limit, for batches of the engine.
    pub fn none() -> Self {
        Self(None)
    }

    /// The largest text that the limit allows, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.0.map_or(usize::MAX, |_| METADATA_BYTES)
    }

    /// Checks the number of attributes of one event.
    ///
    /// # Errors
    /// It is more than [`ATTRIBUTES_PER_EVENT`].
    pub(crate) fn attributes(&self, count: usize) -> Result<(), String> {
        if count <= ATTRIBUTES_PER_EVENT || self.0.is_none() {
            return Ok(());
        }
        Err(format!("an event has {count} attributes, and may have {ATTRIBUTES_PER_EVENT}"))
    }

    /// Counts a value of type `T` that owns `bytes` more on the heap. Call it before the value is allocated.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub fn count<T>(&mut self, bytes: usize) -> Result<(), String> {
        let Some(left) = &mut self.0 else { return Ok(()) };
        let needed = bytes.saturating_add(size_of::<T>());
        *left = left.checked_sub(needed).ok_or_else(|| {
            format!("the attributes, origins and rejections of a batch need more than {METADATA_BYTES} bytes")
        })?;
        Ok(())
    }
}
