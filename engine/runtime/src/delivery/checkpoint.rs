//! Durable positions: one small file per source, replaced as a whole.
//!
//! A file is `header, payload`: the magic `TGCK`, the format's version, the payload's length and CRC-32
//! (little-endian, 4 bytes each), then JSON. It is written under a temporary name, synchronised and renamed,
//! and the folder is synchronised; the file before it is kept under `.old`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_sdk::Record;

use crate::storage::private;
use crate::storage::sync::sync_folder;

const MAGIC: &[u8; 4] = b"TGCK";
const VERSION: u32 = 1;

/// Positions of one source, by partition.
pub(crate) type SourcePositions = BTreeMap<String, StoredPosition>;

/// Position of one partition of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredPosition {
    /// The position at which the source resumes.
    #[serde(flatten)]
    pub(crate) record: Record,
    /// Progress of each sink that keeps records, by its name, when this was stored. A sink with less progress later has lost
    /// data; a sink that is missing here is new. Empty with at-least-once delivery.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sinks: BTreeMap<String, u64>,
}

/// The checkpoint of one source.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// Creates the checkpoint of `source` in `folder`, which exists.
    pub(crate) fn new(folder: &Path, source: &str) -> Self {
        Self { path: folder.join(format!("{source}.position")) }
    }

    /// Loads the stored positions; empty on a first run. A damaged file is replaced by the one before it, with a warning.
    ///
    /// # Errors
    /// If there is a file, and neither it nor the one before it is intact: to start without positions would deliver
    /// everything again in silence.
    pub(crate) fn load(&self) -> Result<SourcePositions, String> {
        let (newest, older) = (read(&self.path), read(&self.old()));
        let problem = match newest {
            Ok(Some(places)) => return Ok(places),
            Ok(None) => match older {
                Ok(places) => return Ok(places.unwrap_or_default()),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        if let Ok(Some(places)) = read(&self.old()) {
            tracing::warn!("{}: {problem}; the checkpoint before it is used", self.path.display());
            // The intact file replaces the damaged one. Otherwise the next store would lose it.
            let restored = fs::rename(self.old(), &self.path).and_then(|()| sync_folder(&self.path));
            return match restored {
                Ok(()) => Ok(places),
                Err(error) => {
                    Err(format!("the checkpoint {} cannot be restored: {error}", self.path.display()))
                }
            };
        }
        Err(format!(
            "the checkpoint {} {problem}, and there is no intact one before it; remove it to start over",
            self.path.display()
        ))
    }

    /// Reads the newest intact positions, and changes nothing.
    pub(crate) fn peek(&self) -> Option<SourcePositions> {
        [&self.path, &self.old()].into_iter().find_map(|path| read(path).ok().flatten())
    }

    /// Stores positions. They are durable when this returns.
    pub(crate) fn store(&self, places: &SourcePositions) -> io::Result<()> {
        let file_bytes = encode(places)?;
        let temporary = self.path.with_extension("position.new");
        let mut file = private::create(&temporary)?;
        file.write_all(&file_bytes)?;
        file.sync_data()?;
        if self.path.exists() {
            fs::rename(&self.path, self.old())?;
        }
        fs::rename(&temporary, &self.path)?;
        sync_folder(&self.path)
    }

    /// Removes the files, after the end of an input.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for path in [self.old(), self.path.clone()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync_folder(&self.path)
    }

    fn old(&self) -> PathBuf {
        self.path.with_extension("position.old")
    }
}

fn read(path: &Path) -> Result<Option<SourcePositions>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read ({error})")),
    };
    decode(&bytes).map(Some)
}

/// Encodes a checkpoint file.
pub(crate) fn encode(places: &SourcePositions) -> io::Result<Vec<u8>> {
    Ok(seal(&serde_json::to_vec(places)?))
}

/// Adds the header to `payload`.
pub(crate) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [VERSION, payload.len() as u32, crc32fast::hash(payload)] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Decodes a checkpoint file.
pub(crate) fn decode(bytes: &[u8]) -> Result<SourcePositions, String> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    if bytes.get(..4) != Some(MAGIC) {
        return Err("is not a checkpoint".into());
    }
    if number(4) != Some(VERSION) {
        return Err("was written by another version of Tidegate".into());
    }
    let payload = bytes.get(16..).unwrap_or_default();
    if number(8) != Some(payload.len() as u32) || number(12) != Some(crc32fast::hash(payload)) {
        return Err("is damaged".into());
    }
    serde_json::from_slice(payload).map_err(|_| "is damaged".to_owned())
}

#[cfg(test)]
mod tests;
