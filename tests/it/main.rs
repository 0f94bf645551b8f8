//! Tidegate from the outside: the real binary, a real Redis, real HTTP, real files, real signals.

/// Starts the binary, reads what it says, and speaks HTTP with it.
mod harness;
/// The rules of the house: who imports whom, how long a file is, what a name may be.
mod tidy;

/// Every file under `pipelines/` runs as it is.
mod pipelines;
/// The three jobs that Tidegate is for, side by side.
mod jobs;
/// Bad input: rejected or tried again, never lost, never the end of a run.
mod bad_input;
/// Redis stopped half-way, dead at the start, slow: everything arrives.
mod redis;
/// Signals, exit codes, deadlines.
mod signals;
/// Memory stays within its budget under a source that is faster than its sink.
mod memory;
/// The commands beside `run`.
mod commands;
/// `--admin`: metrics and health.
mod admin;
/// Pipelines as data: `tests/cases/*`.
mod cases;
