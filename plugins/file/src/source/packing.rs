//! Files that are compressed, told by their first bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// How this file is packed, whatever it is called.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut first = [0; 4];
        let read = file.read_at(&mut first, 0)?;
        Ok(match &first[..read] {
            // A gzip header (RFC 1952): the magic bytes and "deflate", the only method there is.
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            // A zstd frame (RFC 8878), or one to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::Plain,
        })
    }

    /// The file's contents from where it stands, unpacked. Members and frames behind the first are read too.
    pub(crate) fn open(self, file: &Arc<File>) -> io::Result<Box<dyn Read + Send>> {
        let file = Arc::clone(file);
        Ok(match self {
            Self::Plain => Box::new(file),
            Self::Gzip => Box::new(MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        })
    }
}
