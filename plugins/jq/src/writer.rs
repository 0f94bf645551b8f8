//! A value to compact JSON text, as `jq -c` prints it.

use tidegate_query::{Val, WriteError};

use crate::reader::DEPTH;

/// Appends `value` to `out`, which may not grow over `limit` bytes.
///
/// # Errors
/// If the value is nested too deep, or too long. What was appended until then stays.
pub(crate) fn write(value: &Val, out: &mut Vec<u8>, limit: usize) -> Result<(), String> {
    tidegate_query::write(value, out, limit, DEPTH).map_err(|error| match error {
        WriteError::TooLong => crate::limit::over_bytes(limit),
        WriteError::TooDeep => format!("the result is nested deeper than {DEPTH}"),
    })
}
