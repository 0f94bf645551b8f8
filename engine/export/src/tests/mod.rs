//! The table of a library, called as an engine calls it.

mod acknowledging;
mod batches;
mod bombs;
mod components;
mod faults;
mod host;
mod lifecycle;
mod log;
mod state;
