//! From a checked topology to running tasks: segments, edges, acks, retries, dead letters, drain.
//!
//! Knows no concrete plugin, reads no pipeline file, prints nothing. Read [`Engine`] first, the front door;
//! then [`status`], what can be seen of it.

// What `ack` takes its atomics from; `tests/loom` puts those of loom in this place.
use std::sync;

mod engine;
mod reload;
pub mod status;

mod changes;
mod graph;
mod graph_tasks;
mod handover;
mod plan;
mod state;
mod wiring;

mod chain;
mod outlets;
mod segment;
mod settling;

mod ack;
mod budget;
mod claims;
mod edge;
mod lane;
mod lock;
mod parcel;
mod private;

mod backoff;
mod checkpoint;
pub mod dead_letters;
mod failure;
mod home;
mod leftovers;
mod meter;
mod tracker;
mod tries;

#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use engine::{Engine, Options, StartError};
pub use leftovers::leftovers;
pub use reload::{ReloadError, Reloaded};
