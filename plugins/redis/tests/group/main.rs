//! Entries of a group into the same server, effectively once: against real servers, with several workers, the
//! answers lost, the entries stolen, trimmed and forgotten.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// A source and a sink, joined as the engine does it.
mod worker;

/// Places that are the same, and that are not.
mod domains;
/// What is written of entries that are ours, that are not, and of which several events were made.
mod entries;
/// Servers and groups that lose something.
mod losses;
/// What must not be acknowledged.
mod refusals;
