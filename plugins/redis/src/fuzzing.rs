//! What the fuzz targets of `tests/fuzz` feed: decoders that are private to this crate.

use crate::server::resp::parse;

/// Reads replies until the bytes are none. A reply is the same without what follows it, and is not there
/// before its last byte is.
///
/// # Panics
/// If that does not hold.
pub fn replies(mut bytes: &[u8]) {
    while let Ok(Some((reply, length))) = parse(bytes) {
        assert_eq!(parse(&bytes[..length]), Ok(Some((reply, length))), "a reply ends where it says");
        assert_eq!(parse(&bytes[..length - 1]), Ok(None), "a reply is not complete before its end");
        bytes = &bytes[length..];
    }
}
