//! Reads requests and writes responses of HTTP/1.1 (RFC 9112).

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

use super::{Answer, Ending, Request};

/// The longest body that is read, in bytes.
const BODY_LIMIT: u64 = 256 << 20;

/// The next request of a connection; `None` if it was closed, or if the bytes are not HTTP.
pub(super) fn read_request(reader: &mut impl BufRead, connection: u64) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, target, connection, ..Request::default() };
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let chunked = request.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    if chunked {
        while read_chunk(reader, &mut request.body)? {}
    } else {
        read_exactly(reader, length, &mut request.body)?;
    }
    Some(request)
}

/// Reads one chunk; false after the last one.
fn read_chunk(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<bool> {
    let size = line(reader)?;
    let size = u64::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
    if size == 0 {
        // Trailers, up to the empty line.
        while !line(reader)?.is_empty() {}
        return Some(false);
    }
    read_exactly(reader, size, body)?;
    line(reader)?;
    Some(true)
}

fn read_exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Option<()> {
    if body.len() as u64 + length > BODY_LIMIT {
        return None;
    }
    let read = reader.take(length).read_to_end(body).ok()?;
    (read as u64 == length).then_some(())
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    reader.take(64 << 10).read_until(b'\n', &mut bytes).ok()?;
    let line = String::from_utf8(bytes).ok()?;
    Some(line.strip_suffix("\r\n")?.to_owned())
}

/// Writes a response; false if the connection has to be closed.
pub(super) fn write_answer(mut stream: &TcpStream, request: &Request, answer: &Answer) -> bool {
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status)).into_bytes();
    for (name, value) in &answer.headers {
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let has = |name: &str| answer.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let bodiless = matches!(answer.status, 204 | 304);
    if !bodiless && !has("content-length") && !has("transfer-encoding") {
        text.extend_from_slice(format!("Content-Length: {}\r\n", answer.body.len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    if !bodiless && request.method != "HEAD" {
        text.extend_from_slice(&answer.body);
    }
    match answer.ending {
        Ending::Cut(bytes) => {
            let _ = stream.write_all(&text[..bytes.min(text.len())]);
            false
        }
        _ => stream.write_all(&text).is_ok(),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
