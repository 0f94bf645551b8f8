//! Options of the engine.

use std::path::PathBuf;

use tidegate_sdk::Size;

/// Options of the engine, for all pipelines of the process.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of checkpoints and dead letters, with one folder for each pipeline id.
    pub data_dir: PathBuf,
    /// Bytes that may be in flight in all pipelines together. Each graph has an equal share, so that none takes the share of
    /// another.
    pub memory: Size,
    /// Clear all positions, and all records of effectively-once sinks, and read the input from its start.
    pub start_over: bool,
}
