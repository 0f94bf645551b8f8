//! From a checked topology to running tasks: segments, edges, acks, retries, dead letters, drain.
//!
//! Knows no concrete plugin, reads no pipeline file, prints nothing. Read [`Engine`] first, the front door;
//! then [`status`], what can be seen of it.

pub mod dead_letters;
mod engine;
pub mod status;

pub use engine::{Engine, Options, StartError};
