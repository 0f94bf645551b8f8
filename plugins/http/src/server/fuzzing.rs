//! Entry points of the server's decoders for the fuzz targets.

use bytes::Bytes;

use super::decode::{DecodeError, decode};
use super::options::Decode;

/// The limit on the events of a request.
const LIMIT: usize = 100;

/// Decodes the body of a request with each decoder.
///
/// # Panics
/// If an event lies outside the body, or there are more events than the limit.
pub fn request(content_type: &str, body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    let ways = [
        Decode::Auto,
        Decode::Json,
        Decode::JsonLines,
        Decode::JsonArray,
        Decode::Text,
        Decode::Lines,
        Decode::Form,
    ];
    for how in ways {
        match decode(body.clone(), how, content_type, LIMIT) {
            Ok(decoded) => {
                let spans = decoded.events.spans();
                assert!(spans.len() <= LIMIT, "{how:?} keeps to the limit");
                for span in spans {
                    let event = &decoded.body[span.offset as usize..][..span.length as usize];
                    let json =
                        matches!(how, Decode::Json | Decode::JsonLines | Decode::JsonArray | Decode::Form);
                    assert!(
                        !json || tidegate_sdk::json::check(event).is_ok(),
                        "{how:?} lets JSON through only"
                    );
                }
            }
            Err(DecodeError::Malformed(reason)) => assert!(!reason.is_empty()),
            Err(DecodeError::TooMany(limit)) => assert_eq!(limit, LIMIT),
            Err(DecodeError::Unsupported(_)) => assert_eq!(how, Decode::Auto),
        }
    }
}

/// Makes an event of a query, which must be JSON for any query.
///
/// # Panics
/// If the event is not JSON.
pub fn query(path: &str, query: &str) {
    let event = super::form::event("GET", path, query);
    assert_eq!(tidegate_sdk::json::check(&event), Ok(()));
}
