//! The limit for what a library attaches to the payloads of one batch.

/// Bytes of memory for the metadata of one batch: attributes, origins, rejections. The engine allocates it before the
/// memory budget counts the batch, and a few bytes of a library can ask for a lot of it: many attributes may name the
/// same long text.
pub(crate) const METADATA_BYTES: usize = 64 << 20;

/// Attributes of one event, at most. Their names are compared with each other.
pub(crate) const ATTRIBUTES_PER_EVENT: usize = 256;

/// The memory that is left for the metadata of one batch.
#[derive(Debug)]
pub(crate) struct MetadataLimit(usize);

impl Default for MetadataLimit {
    fn default() -> Self {
        Self(METADATA_BYTES)
    }
}

impl MetadataLimit {
    /// Checks the number of attributes of one event.
    ///
    /// # Errors
    /// It is more than [`ATTRIBUTES_PER_EVENT`].
    pub(crate) fn attributes(count: usize) -> Result<(), String> {
        if count <= ATTRIBUTES_PER_EVENT {
            return Ok(());
        }
        Err(format!("an event has {count} attributes, and may have {ATTRIBUTES_PER_EVENT}"))
    }

    /// Counts a value of type `T` that owns `bytes` more on the heap. Call it before the value is allocated.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub(crate) fn count<T>(&mut self, bytes: usize) -> Result<(), String> {
        let needed = bytes.saturating_add(size_of::<T>());
        self.0 = self.0.checked_sub(needed).ok_or_else(|| {
            format!("the attributes, origins and rejections of a batch need more than {METADATA_BYTES} bytes")
        })?;
        Ok(())
    }
}
