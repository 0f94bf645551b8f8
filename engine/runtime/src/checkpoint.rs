//! Durable positions: one small file per source, replaced as a whole.
//!
//! The file is `header, payload`: the magic `TGCK`, the format's version, the payload's length and CRC-32
//! (little-endian, 4 bytes each), then JSON. It is written under a temporary name, synchronised and renamed,
//! and the folder is synchronised; the file before it is kept under `.old`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidegate_sdk::Position;

const MAGIC: &[u8; 4] = b"TGCK";
const VERSION: u32 = 1;

/// The positions of one source, by partition.
pub(crate) type Positions = BTreeMap<String, Position>;

/// The checkpoint of one source.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// The checkpoint of the source `source` in the folder `folder`, which exists.
    pub(crate) fn new(folder: &Path, source: &str) -> Self {
        Self { path: folder.join(format!("{source}.position")) }
    }

    /// What was stored last; nothing on a first run. A damaged file is passed over for the one before it,
    /// with a warning.
    ///
    /// # Errors
    /// If there is a file and neither it nor the one before it is whole: starting from nothing would repeat
    /// everything in silence.
    pub(crate) fn load(&self) -> Result<Positions, String> {
        let (newest, older) = (read(&self.path), read(&self.old()));
        let problem = match newest {
            Ok(Some(positions)) => return Ok(positions),
            Ok(None) => match older {
                Ok(positions) => return Ok(positions.unwrap_or_default()),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        if let Ok(Some(positions)) = read(&self.old()) {
            tracing::warn!("{}: {problem}; going on from the checkpoint before it", self.path.display());
            return Ok(positions);
        }
        Err(format!(
            "the checkpoint {} {problem}, and there is no good one before it; remove it to start over",
            self.path.display()
        ))
    }

    /// Stores these positions. They are durable when this returns.
    pub(crate) fn store(&self, positions: &Positions) -> io::Result<()> {
        let texts: BTreeMap<&str, String> = positions
            .iter()
            .map(|(partition, position)| (partition.as_str(), hex_or_text(position.as_bytes())))
            .collect();
        let payload = serde_json::to_vec(&texts)?;
        let mut file_bytes = MAGIC.to_vec();
        for number in [VERSION, payload.len() as u32, crc32fast::hash(&payload)] {
            file_bytes.extend(number.to_le_bytes());
        }
        file_bytes.extend(payload);
        let temporary = self.path.with_extension("position.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&file_bytes)?;
        file.sync_data()?;
        if self.path.exists() {
            fs::rename(&self.path, self.old())?;
        }
        fs::rename(&temporary, &self.path)?;
        sync_folder(&self.path)
    }

    /// Forgets everything: the run ended, and there is nothing to resume.
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

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Option<Positions>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read ({error})")),
    };
    decode(&bytes).map(Some)
}

fn decode(bytes: &[u8]) -> Result<Positions, String> {
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
    let texts: BTreeMap<String, String> = serde_json::from_slice(payload).map_err(|_| "is damaged")?;
    texts
        .into_iter()
        .map(|(partition, text)| Ok((partition, Position::from_bytes(from_hex_or_text(&text)?))))
        .collect()
}

/// Positions are JSON by convention, which reads best as it is; other bytes are told as hexadecimal.
fn hex_or_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("={text}"),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn from_hex_or_text(text: &str) -> Result<Bytes, String> {
    if let Some(text) = text.strip_prefix('=') {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from).ok_or_else(|| "is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(offset: u64) -> Positions {
        let raw = Position::from_bytes(Bytes::from_static(b"\xff\x00"));
        [("a".to_owned(), Position::new(&offset)), ("b".to_owned(), raw)].into()
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "lines");
        assert_eq!(checkpoint.load().unwrap(), Positions::new());
        for offset in 1..4 {
            checkpoint.store(&positions(offset)).unwrap();
            assert_eq!(checkpoint.load().unwrap(), positions(offset));
        }
        checkpoint.clear().unwrap();
        assert_eq!(checkpoint.load().unwrap(), Positions::new());
    }

    #[test]
    fn every_flipped_bit_and_every_torn_tail_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "lines");
        checkpoint.store(&positions(1)).unwrap();
        checkpoint.store(&positions(2)).unwrap();
        let whole = fs::read(&checkpoint.path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&checkpoint.path, damaged).unwrap();
            assert_eq!(checkpoint.load().unwrap(), positions(1), "bit {bit}");
        }
        for length in 0..whole.len() {
            fs::write(&checkpoint.path, &whole[..length]).unwrap();
            assert_eq!(checkpoint.load().unwrap(), positions(1), "length {length}");
        }
        fs::remove_file(&checkpoint.path).unwrap();
        assert_eq!(checkpoint.load().unwrap(), positions(1), "killed between the two renames");
    }

    #[test]
    fn two_damaged_files_refuse_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "lines");
        fs::write(&checkpoint.path, b"TGCK").unwrap();
        assert!(checkpoint.load().unwrap_err().contains("remove it to start over"));
        fs::write(checkpoint.old(), b"").unwrap();
        assert!(checkpoint.load().is_err());
    }
}
