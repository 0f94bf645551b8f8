//! Options of a store.

use std::collections::BTreeMap;
use std::time::Duration;

/// Options of a filter that give its stored bytes a meaning, each with its canonical value.
pub type Fingerprint = BTreeMap<String, String>;

/// Largest size of one entry: key, sub-key and value together.
pub(crate) const MAX_ENTRY: usize = 64 << 10;
/// Largest size of one commit in bytes.
pub(crate) const MAX_COMMIT: usize = 256 << 20;

/// Options of a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Id of the pipeline. A store of another pipeline is refused.
    pub pipeline: String,
    /// Size in bytes at which a log file is followed by the next one, and merged in the background.
    pub log_size: u64,
    /// Bytes of disk that are kept free for the merge that runs when the disk is full.
    pub reserve: u64,
    /// Bytes of acknowledged outbox events that stay readable.
    pub retain_bytes: u64,
    /// Time for which acknowledged outbox events stay readable.
    pub retain_time: Duration,
    /// True if a thread of the store merges files. Otherwise [`Store::merge`](crate::Store::merge) does it.
    pub background: bool,
}

impl Options {
    /// Default options of the store of `pipeline`.
    pub fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            log_size: 8 << 20,
            reserve: 16 << 20,
            retain_bytes: 64 << 20,
            retain_time: Duration::from_secs(600),
            background: true,
        }
    }
}
