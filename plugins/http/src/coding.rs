//! Content codings (RFC 9110, section 8.4): the header, and streaming decoders and encoders, for the client and the
//! server.

mod decode;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::header::{CONTENT_ENCODING, HeaderMap};

pub(crate) use self::decode::Decoder;

/// The codings that a client accepts in responses, best first, for `Accept-Encoding`.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The largest number of codings of one body. Each can inflate once more.
const MOST: usize = 4;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `gzip` (RFC 1952), also by its old name `x-gzip`.
    Gzip,
    /// `deflate`: the zlib format (RFC 1950). A missing zlib header, as some servers send it, is accepted.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878), with a window of at most 8 MiB (RFC 9659).
    Zstd,
}

/// The reason why a `Content-Encoding` is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An unknown coding, by its name.
    Unknown(String),
    /// Too many codings.
    TooMany,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(formatter, "the content encoding `{name}` is not supported ({ACCEPTED} are)")
            }
            Self::TooMany => write!(formatter, "the body is encoded more than {MOST} times"),
        }
    }
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        let known = [
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
            ("zstd", Self::Zstd),
        ];
        known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, coding)| coding)
    }

    /// Returns the name in a header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Encodes a body, fast rather than small.
    ///
    /// # Errors
    /// If the encoder fails, or there is none: an encoder of `br` would be a twentieth of the program.
    pub(crate) fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let room = || Vec::with_capacity(body.len() / 4);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(room(), Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(room(), Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Brotli => Err(io::Error::new(io::ErrorKind::Unsupported, "br is decoded only")),
            Self::Zstd => zstd::stream::encode_all(body, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

/// Returns the codings of a body, in the order in which they were applied. Names are compared without regard to case,
/// empty elements and `identity` are ignored, and several headers are one list.
///
/// # Errors
/// If one is not supported, or if there are too many.
pub(crate) fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refused> {
    let mut all = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for name in value.split(',').map(|name| name.trim_matches([' ', '\t'])) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let coding = Coding::of(name).ok_or_else(|| Refused::Unknown(shown(name)))?;
            if all.len() == MOST {
                return Err(Refused::TooMany);
            }
            all.push(coding);
        }
    }
    Ok(all)
}

/// Shortens a name from a header for a message, and removes control characters.
fn shown(name: &str) -> String {
    name.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
