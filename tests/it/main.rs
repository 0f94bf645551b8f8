//! Tests through the real binary, with real servers, files and signals.
//!
//! `./tests/run it::http` runs those of one folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

/// Starts the binary, reads its log, and sends it HTTP requests.
mod harness;
/// Rules of the source: dependencies, names, sizes, imports, language.
mod tidy;

/// The command line, the admin server, signals and the terminal.
mod cli {
    /// `--admin`: metrics and health.
    mod admin;
    /// Commands other than `run`.
    mod commands;
    /// Readiness of every plugin.
    mod readiness;
    /// Signals, exit codes, deadlines.
    mod signals;
    /// A terminal that is closed, stopped or not writable, and a log without a reader.
    mod terminal;
}

/// Pipeline files.
mod config {
    /// Pipelines with their input and expected output: `tests/cases/*`.
    mod cases;
    /// Resources that several components of a run claim. `check`, `run` and reload refuse them.
    mod claims;
    /// Every file under `pipelines/`, run unchanged.
    mod pipelines;
    /// The JSON Schema of pipeline files, compared with a validator.
    mod schema;
}

/// Delivery guarantees when input, disks and processes fail.
mod delivery {
    /// Input that is rejected or retried, but never lost, and never ends a run.
    mod bad_input;
    /// Random kills and faults from a seed: `tests/crash`.
    #[path = "../../crash/short.rs"]
    mod crash;
    /// Dead letters: budget, store, replay.
    mod dead_letters;
    /// Exhausted resources: disk space, file descriptors, a reader of standard output.
    mod exhaustion;
    /// Files that are replaced, rotated, or not regular.
    mod files;
    /// Memory within its budget while the source is faster than the sink.
    mod memory;
    /// The data folder: its permissions, and its records after names and sinks change.
    mod records;
}

/// HTTP in both directions.
mod http {
    /// An endpoint under attack: slow clients and a flood beside an honest client.
    mod attack;
    /// Endpoints: concurrent requests, cancelled requests, bad requests.
    mod endpoint;
    /// Servers that a pipeline calls: bad responses, pages, cursors.
    mod upstream;
}

/// Plugins from shared libraries.
mod plugins {
    /// `plugins bench`: the cost of calls to a library.
    mod bench;
    /// Libraries that crash, hang and lie.
    pub(crate) mod isolation;
    /// Many reloads of a library, and a library whose panics abort.
    mod lifetime;
    /// Libraries in C and in Rust: loaded, checked, refused.
    pub(crate) mod loading;
    /// Processes of plugins: killed under load, ended with the engine, isolated from its files.
    pub(crate) mod processes;
}

/// A real Redis server.
mod redis {
    /// A stream shared by several processes, into the same Redis, effectively once.
    mod group;
    /// A stream that one pipeline reads by the ids of its entries, effectively once.
    mod ids;
    /// Poll, push and serve in one process.
    mod jobs;
    /// A server that is stopped, down at the start, or slow.
    mod outages;
}

/// SIGHUP and `--watch`.
mod reload {
    /// Changed graphs are replaced, the others continue.
    mod changes;
    /// State of filters across reloads, built in and from libraries.
    mod state;
}
