//! The dead-letter store: events that could not be processed, kept with the reason.
//!
//! # The format
//! `DATA/PIPELINE/dead-letters/NUMBER.jsonl`: lines of JSON, the files in the order of their names. A line is
//!
//! - a letter, with the fields of [`DeadLetter`]; the payload is in `payload` if it is text, else in
//!   `payload_base64`. A letter takes the place of an earlier line with its `id`: it was tried again and
//!   rejected again;
//! - `{"removed": [7, 9]}`: the letters of these numbers are no more;
//! - neither: a crash has torn it, and the reader passes over it. Its event was not answered for, so it comes
//!   again.
//!
//! Files are only ever added to, and a line counts when it is synchronised. Removing letters for good means to
//! write what is left of a file to a new one, and then to delete files, oldest first: at no moment does what was
//! removed stand there without the line that says so.

pub(crate) mod budget;
pub(crate) mod index;
pub(crate) mod letter;
pub(crate) mod store;

pub use index::DeadLetterIndex;
pub use letter::{DeadLetter, Raw};
pub use store::{folder, remove};

#[cfg(test)]
mod tests;
