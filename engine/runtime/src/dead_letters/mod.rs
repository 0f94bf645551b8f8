//! Dead-dead letter store: events that could not be processed, kept with the reason.
//!
//! # Format
//! `DATA/PIPELINE/dead-letters/NUMBER.jsonl`: files of JSON lines, in the order of their names. A line is
//!
//! - a dead letter, with the fields of [`DeadLetter`]. The payload is in `payload` if it is text, else in `payload_base64`.
//!   It replaces an earlier line with the same `id`: the event was tried and rejected again;
//! - `{"removed": [7, 9]}`: the dead letters with these numbers are removed;
//! - anything else: torn by a crash, and skipped. Its event was not acknowledged, so the source reads it again.
//!
//! Files are append-only, and a line counts when it is synchronised. To reclaim space, the live lines of a file are written
//! to a new file; then old files are deleted, oldest first. So a removed line never exists without the line that removes it.

pub(crate) mod budget;
pub(crate) mod dead_letter;
pub(crate) mod index;
pub(crate) mod store;

pub use dead_letter::{DeadLetter, Raw};
pub use index::DeadLetterIndex;
pub use store::{folder, remove};

#[cfg(test)]
mod tests;
