//! Entry points for the fuzz targets of `tests/fuzz`: decoders that are private to this crate.

use crate::server::resp::{Frame, tree};

/// Reads replies until there are no more bytes. A reply is the same without the bytes after it, in one piece and in
/// single bytes, and it is not complete before its last byte.
///
/// # Panics
/// If that does not hold.
pub fn replies(mut bytes: &[u8]) {
    while let Ok(Some(length)) = Frame::new().end(bytes) {
        let reply = &bytes[..length];
        assert_eq!(Frame::new().end(reply), Ok(Some(length)), "a reply ends where it says");
        let mut frame = Frame::new();
        for part in 0..length {
            assert_eq!(frame.end(&reply[..part]), Ok(None), "a reply is not complete before its end");
        }
        assert_eq!(frame.end(reply), Ok(Some(length)), "pieces make no difference");
        // A tree refuses nesting that is too deep. Here it must only not panic.
        let _ = tree(reply);
        bytes = &bytes[length..];
    }
}
