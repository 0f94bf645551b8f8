//! The loader with real libraries in C and in Rust: every breach of the ABI that a library can commit.
//!
//! `examples/host` is the program that the tests start; `tests/evil` holds the libraries.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

/// Builds libraries, and calls their plugins as the engine does.
mod world;

/// Leaks and unloaded code, which only show in a process of their own.
mod alone;
/// Each entry point breaks, in each way, in a process of its own.
mod entries;
/// A library that was built against an older ABI.
mod older;
/// A library in Rust that panics, inline and on a thread.
mod panics;
/// References to a batch that are released too often, and as often as they should.
mod references;
/// Libraries that are refused before their code is used, each with one sentence that names the reason.
mod refusals;
/// Wakes at every moment, and a million of them.
mod wakes;
