//! Tidegate from the outside: the real binary, a real Redis, real HTTP, real files, real signals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Starts the binary, reads what it says, and speaks HTTP with it.
mod harness;
/// The rules of the house: who imports whom, how long a file is, what a name may be.
mod tidy;

/// `--admin`: metrics and health.
mod admin;
/// An HTTP endpoint under attack: slow clients and a flood, and an honest client among them.
mod attack;
/// Bad input: rejected or tried again, never lost, never the end of a run.
mod bad_input;
/// Pipelines as data: `tests/cases/*`.
mod cases;
/// The commands beside `run`.
mod commands;
/// Killed at random, by chance from a seed: `tests/crash`.
#[path = "../crash/short.rs"]
mod crash;
/// Dead letters: the budget, the store, and the way back into the pipeline.
mod dead_letters;
/// Endpoints: many requests at once, requests that are over, bad requests.
mod endpoint;
/// What runs out: space on a disk, file descriptors, a reader of standard output, a server that keeps its data.
mod exhaustion;
/// Files that are replaced, rotated, and special.
mod files;
/// A stream that several processes share, into the same Redis, effectively once.
mod group;
/// Plugins of shared libraries that crash, hang and lie.
mod isolation;
/// The three jobs that Tidegate is for, side by side.
mod jobs;
/// Plugins from shared libraries, in C and in Rust.
mod libraries;
/// Libraries over time: a hundred reloads, and one that ends its process when it panics.
mod library_life;
/// Memory stays within its budget under a source that is faster than its sink.
mod memory;
/// Every file under `pipelines/` runs as it is.
mod pipelines;
/// `plugins bench`: what calls of a library cost.
mod plugin_bench;
/// The processes of plugins: killed under load, gone with their engine, and kept from what is not theirs.
mod processes;
/// Readiness of every plugin.
mod readiness;
/// The data folder: who may read it, and what happens to its records when names and sinks change.
mod records;
/// Redis stopped half-way, dead at the start, slow: everything arrives.
mod redis;
/// SIGHUP and `--watch`: what changed is replaced, the rest runs on.
mod reload;
/// The JSON Schema of pipeline files, judged by a validator.
mod schema;
/// Signals, exit codes, deadlines.
mod signals;
/// What filters remember through reloads, built in and in libraries.
mod state;
/// Resources that several components of a run claim: refused by `check`, `run` and reload.
mod taken;
/// A terminal that is closed, stopped or not written to, and a log that nobody reads.
mod terminal;
/// Servers that the pipeline calls: bad answers, pages, cursors.
mod upstream;
