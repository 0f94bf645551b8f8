//! Entry points of the fuzz targets in `tests/fuzz`: decoders that are private to this crate.

use tidegate_sdk::Batch;

use crate::CsvOptions;
use crate::source::records::Records;

/// Reads CSV in pieces of `step` bytes. Returns the records and the number of rejected ones.
///
/// # Errors
/// The defect of the file as a whole.
///
/// # Panics
/// If a byte is not consumed, or is consumed twice.
pub fn records(
    options: &CsvOptions,
    input: &[u8],
    step: usize,
    limit: usize,
) -> Result<(Vec<String>, usize), String> {
    let mut records = Records::new(options, limit);
    let (mut texts, mut rejected, mut consumed) = (Vec::new(), Vec::new(), 0);
    for piece in input.chunks(step.max(1)) {
        records.buffer().extend_from_slice(piece);
        loop {
            let mut builder = Batch::builder();
            let passed = records.cut(&mut builder, &mut rejected)?;
            consumed += passed;
            texts.extend(builder.finish().texts());
            if passed == 0 {
                break;
            }
        }
    }
    let mut builder = Batch::builder();
    consumed += records.finish(&mut builder, &mut rejected)?;
    texts.extend(builder.finish().texts());
    assert_eq!(consumed, input.len() as u64, "every byte is consumed once");
    Ok((texts, rejected.len()))
}
