//! The loader with real libraries, in C and in Rust: everything that a library can do to it at the border.
//!
//! `examples/host.rs` is the program that it starts, and `tests/evil` holds the libraries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Builds libraries, and calls their plugins as the engine does.
mod world;

/// What only shows in a process of its own: memory that grows, and code that is gone.
mod alone;
/// Each entry point breaks, in each way, in a process of its own.
mod entries;
/// A library that was built against an older ABI.
mod older;
/// A library in Rust that panics, inline and on a thread.
mod panics;
/// References to a batch that are given back too often, and as often as they should.
mod references;
/// Wakes at every moment, and a million of them.
mod wakes;
