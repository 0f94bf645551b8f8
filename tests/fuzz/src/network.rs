//! Bytes from a connection.

use crate::first_line;

/// The bytes are the stream of a Redis server.
pub(crate) fn redis(bytes: &[u8]) {
    tidegate_redis::fuzzing::replies(bytes);
}

/// The first line is a content type and a query, the rest the body of a request.
pub(crate) fn request(bytes: &[u8]) {
    let (line, body) = first_line(bytes);
    let line = String::from_utf8_lossy(line);
    tidegate_http::fuzzing::request(&line, body);
    tidegate_http::fuzzing::query("/events", &line);
}

/// The first line is a `Link` header, the rest the body of a response.
pub(crate) fn answer(bytes: &[u8]) {
    let (line, body) = first_line(bytes);
    tidegate_http::fuzzing::link(line);
    tidegate_http::fuzzing::answer(body);
}
