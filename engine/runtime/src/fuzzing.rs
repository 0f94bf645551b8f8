//! What the fuzz targets of `tests/fuzz` feed: decoders that are private to this crate.

use crate::delivery::checkpoint;

/// Decodes a checkpoint, and one with these bytes behind a header that fits. What is decoded is encoded and decoded again to the same.
///
/// # Panics
/// If that does not hold.
pub fn checkpoint(bytes: &[u8]) {
    let whole = checkpoint::decode(bytes);
    let sealed = checkpoint::decode(&checkpoint::seal(bytes));
    for positions in [whole, sealed].into_iter().flatten() {
        let again = checkpoint::encode(&positions).map(|bytes| checkpoint::decode(&bytes));
        assert_eq!(again.ok(), Some(Ok(positions)), "a checkpoint survives being stored");
    }
}
