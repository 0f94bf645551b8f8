//! Options of the engine.

use std::path::PathBuf;

use tidegate_sdk::Size;

/// What a process gives to all its pipelines.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of checkpoints and dead letters; one folder in it per pipeline id.
    pub data_dir: PathBuf,
    /// How many bytes may be in flight in all pipelines together. Each graph has an equal share of it, so
    /// that none can take what another needs.
    pub memory: Size,
    /// Forget every position, and every record that an effectively-once sink keeps: begin anew, on purpose.
    pub start_over: bool,
}
