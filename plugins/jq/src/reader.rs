//! JSON text to a value, strictly: what is not JSON never gets into a pipeline because a reader was lenient.

use bytes::Bytes;
use tidegate_query::{ReadOptions, Val};

/// The depth to which arrays and objects may be nested in an event, read or written.
pub(crate) const DEPTH: usize = 512;

/// The value that `text` stands for.
///
/// # Errors
/// The defect of the event, and its place.
pub(crate) fn read(text: &Bytes) -> Result<Val, String> {
    let text =
        std::str::from_utf8(text).map_err(|error| malformed(error.valid_up_to(), "this is not UTF-8"))?;
    let options = ReadOptions { depth: DEPTH, ..ReadOptions::STRICT };
    tidegate_query::read(text, options).map_err(|(at, what)| malformed(at, &what))
}

fn malformed(at: usize, what: &str) -> String {
    format!("malformed JSON at byte {at}: {what}")
}
