//! The dead-letter store: events that could not be processed, kept with the reason.
//!
//! A folder of files of JSON lines, each a letter, oldest first. A line that a crash has torn is passed over
//! by the reader; its event was not answered for, so it comes again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::sync_folder;

/// A file that has reached this size, in bytes, is followed by another.
const FILE_SIZE: u64 = 64 << 20;

/// How many bytes of dead letters one pipeline may keep. After that its lanes stop until some are removed.
const STORE_SIZE: u64 = 1 << 30;

/// An event that could not be processed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number in the store, from 1, growing.
    pub id: u64,
    /// When it was rejected, in milliseconds since 1970 (UTC).
    pub time: i64,
    /// The component that rejected it.
    pub component: String,
    /// Why.
    pub reason: String,
    /// The source component it came from.
    pub source: String,
    /// The partition of that source; empty if there is one.
    pub partition: String,
    /// The number of its batch within the source.
    pub sequence: u64,
    /// Its index within that batch.
    pub index: u32,
    /// How many times it was tried.
    pub attempts: u32,
    /// Its length in bytes, which is more than what is kept if it was over the limit.
    pub length: u64,
    /// The raw bytes.
    #[serde(flatten, with = "payload")]
    pub payload: Vec<u8>,
}

/// The store of one pipeline, for writing. Blocks: to be used off the async workers.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    next_id: u64,
    file: Option<File>,
    file_size: u64,
    other_size: u64,
}

/// The folder of a pipeline's dead letters.
pub fn folder(data_dir: &Path, pipeline: &str) -> PathBuf {
    data_dir.join(pipeline).join("dead-letters")
}

/// Reads the store of one pipeline, oldest first: the letters, and how many entries could not be read.
///
/// # Errors
/// If the folder exists and cannot be read.
pub fn read(data_dir: &Path, pipeline: &str) -> io::Result<(Vec<DeadLetter>, u64)> {
    let (mut letters, mut unreadable) = (Vec::new(), 0);
    for path in files(&folder(data_dir, pipeline))? {
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            let line = line?;
            match serde_json::from_slice(&line) {
                Ok(letter) => letters.push(letter),
                Err(_) if line.is_empty() => {}
                Err(_) => unreadable += 1,
            }
        }
    }
    Ok((letters, unreadable))
}

/// The files of a store, oldest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl Store {
    /// Opens the store in `folder`, which need not exist.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let mut store = Self { folder, next_id: 1, file: None, file_size: 0, other_size: 0 };
        for path in files(&store.folder)? {
            store.other_size += fs::metadata(&path)?.len();
            for line in BufReader::new(File::open(path)?).split(b'\n') {
                if let Ok(letter) = serde_json::from_slice::<DeadLetter>(&line?) {
                    store.next_id = store.next_id.max(letter.id + 1);
                }
            }
        }
        Ok(store)
    }

    /// Appends letters, giving each its number. They are durable when this returns. After an error none of
    /// them counts as kept.
    pub(crate) fn append(&mut self, letters: &mut [DeadLetter]) -> io::Result<()> {
        if self.file_size + self.other_size >= STORE_SIZE {
            let message = format!("{} holds 1GiB; look at them and remove some", self.folder.display());
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        let mut lines = Vec::new();
        for letter in letters.iter_mut() {
            letter.id = self.next_id;
            self.next_id += 1;
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
        }
        let file = self.file()?;
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        match written {
            Ok(()) => self.file_size += lines.len() as u64,
            // What a failed write or fsync has left is unknown, so the next letters go to a new file.
            Err(_) => self.seal(),
        }
        written
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file_size >= FILE_SIZE {
            self.seal();
        }
        if self.file.is_none() {
            self.file = Some(self.create()?);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("the file was just opened"))
    }

    /// A new file behind all others: a torn line at the end of an old one stays the last of its file.
    fn create(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let mut number = self.next_id;
        loop {
            let path = self.folder.join(format!("{number:012}.jsonl"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                opened => {
                    sync_folder(&path)?;
                    sync_folder(&self.folder)?;
                    return opened;
                }
            }
        }
    }

    fn seal(&mut self) {
        self.file = None;
        self.other_size += std::mem::take(&mut self.file_size);
    }
}

/// Text as `payload`, so that a person can read it; anything else in base64 as `payload_base64`.
mod payload {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    enum Stored {
        #[serde(rename = "payload")]
        Text(String),
        #[serde(rename = "payload_base64")]
        Base64(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match std::str::from_utf8(bytes) {
            Ok(text) => Stored::Text(text.to_owned()),
            Err(_) => Stored::Base64(BASE64_STANDARD.encode(bytes)),
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Text(text) => Ok(text.into_bytes()),
            Stored::Base64(text) => BASE64_STANDARD.decode(text).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &[u8]) -> DeadLetter {
        DeadLetter {
            id: 0,
            time: 1,
            component: "parse".into(),
            reason: "malformed".into(),
            source: "lines".into(),
            partition: String::new(),
            sequence: 2,
            index: 3,
            attempts: 1,
            length: payload.len() as u64,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn letters_are_numbered_and_read_back_across_openings() {
        let data = tempfile::tempdir().unwrap();
        let place = folder(data.path(), "p");
        for payloads in [[b"text".as_slice(), b"\xff\x00"], [b"{}", b""]] {
            let mut store = Store::open(place.clone()).unwrap();
            store.append(&mut payloads.map(letter)).unwrap();
        }
        let (letters, unreadable) = read(data.path(), "p").unwrap();
        assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(letters[1].payload, b"\xff\x00");
        assert_eq!(letters[2].payload, b"{}");
        assert_eq!(unreadable, 0);
        assert!(read(data.path(), "other").unwrap().0.is_empty());
    }

    #[test]
    fn a_torn_line_is_passed_over_and_never_joined_by_the_next() {
        let data = tempfile::tempdir().unwrap();
        let place = folder(data.path(), "p");
        let mut store = Store::open(place.clone()).unwrap();
        store.append(&mut [letter(b"one")]).unwrap();
        let path = files(&place).unwrap().remove(0);
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"id":2,"time"#);
        fs::write(&path, torn).unwrap();
        let mut store = Store::open(place).unwrap();
        store.append(&mut [letter(b"two")]).unwrap();
        let (letters, unreadable) = read(data.path(), "p").unwrap();
        assert_eq!(letters.iter().map(|letter| letter.payload.clone()).collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(unreadable, 1);
    }
}
