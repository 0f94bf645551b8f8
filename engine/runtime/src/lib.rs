//! Runtime: turns a checked topology into running tasks (segments, edges, acknowledgements, retries, dead letters, drain).
//!
//! Knows no concrete plugin, reads no pipeline file, prints nothing. Start with [`Engine`], then [`status`].
//!
//! Folders, from the bottom up: `storage`, `metrics`, `dead_letters`, `delivery`, `dataflow`, `supervise`, `replay`.

#![warn(clippy::match_bool)]

// The atomics of `delivery::ack`; `tests/loom` replaces them with those of loom.
use std::sync;

mod dataflow;
pub mod dead_letters;
mod delivery;
#[doc(hidden)]
pub mod fuzzing;
mod metrics;
pub mod replay;
mod storage;
mod supervise;
#[cfg(test)]
mod tests;

pub use metrics::status;
pub use supervise::engine::Engine;
pub use supervise::options::Options;
pub use supervise::orphaned_positions::orphaned_positions;
pub use supervise::reload::{ReloadError, Reloaded};
pub use supervise::start_error::StartError;
