//! Entry points of the fuzz targets in `tests/fuzz` for decoders that are private to this crate.

use crate::delivery::checkpoint;

/// Decodes `bytes` as a checkpoint, with and without a valid header added. A decoded checkpoint has to survive a round trip.
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
