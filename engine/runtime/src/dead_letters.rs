//! The dead-letter store: events that could not be processed, kept with the reason.
//!
//! # The format
//! `DATA/PIPELINE/dead-letters/NUMBER.jsonl`: lines of JSON, the files in the order of their names. A line is
//!
//! - a letter, with the fields of [`DeadLetter`]; the payload is in `payload` if it is text, else in
//!   `payload_base64`. A letter takes the place of an earlier line with its `id`: it was tried again and
//!   rejected again;
//! - `{"removed": [7, 9]}`: the letters of these numbers are no more;
//! - neither: a crash has torn it, and the reader passes over it. Its event was not answered for, so it comes
//!   again.
//!
//! Files are only ever added to, and a line counts when it is synchronised. Removing letters for good means to
//! write what is left of a file to a new one, and then to delete files, oldest first: at no moment does what was
//! removed stand there without the line that says so.

mod budget;
mod graph;
mod ledger;
mod letterbox;
mod replay;
mod source;
mod store;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{Batch, Origin, SourceRejection};

pub use replay::{Replay, Replayed, Tally};
pub use store::remove;

pub(crate) use budget::Budget;
pub(crate) use ledger::Ledger;
pub(crate) use letterbox::Letterbox;
pub(crate) use store::{SharedStore, Store};

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
    /// The event's own time, in nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The event's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Raw>,
    /// The event's attributes, its own and those of its batch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// The raw bytes.
    #[serde(flatten, with = "payload")]
    pub payload: Vec<u8>,
}

impl DeadLetter {
    /// A letter of event `event` of `batch`.
    pub(crate) fn of_event(
        batch: &Batch,
        event: usize,
        component: &str,
        reason: String,
        attempts: u32,
    ) -> Self {
        let origin = batch.origin(event);
        let own = batch.own_attributes(event).into_iter().flat_map(|own| own.iter());
        let attributes = origin.attributes.iter().chain(own);
        Self {
            length: batch.payload(event).len() as u64,
            payload: batch.payload(event).to_vec(),
            index: batch.source_index(event),
            attempts,
            timestamp: batch.timestamp(event),
            key: batch.key(event).map(|key| Raw(key.to_vec())),
            attributes: attributes
                .filter_map(|(name, value)| Some((name.to_owned(), source::stored(value)?)))
                .collect(),
            ..Self::new(component, reason, origin)
        }
    }

    /// A letter of input that a source refused while it read.
    pub(crate) fn of_input(refused: SourceRejection, component: &str, origin: &Origin) -> Self {
        Self {
            length: refused.length,
            payload: refused.payload.to_vec(),
            ..Self::new(component, refused.reason, origin)
        }
    }

    fn new(component: &str, reason: String, origin: &Origin) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            id: 0,
            time: time as i64,
            component: component.to_owned(),
            reason,
            source: origin.source.to_string(),
            partition: origin.partition.to_string(),
            sequence: origin.sequence,
            index: 0,
            attempts: 1,
            length: 0,
            timestamp: None,
            key: None,
            attributes: BTreeMap::new(),
            payload: Vec::new(),
        }
    }

    /// Why it cannot be replayed whatever the pipeline is, if that is so.
    pub fn unreplayable(&self) -> Option<&'static str> {
        let cut = self.length > self.payload.len() as u64;
        if cut {
            return Some("it was refused while it was read, and only its head is kept");
        }
        (self.component == self.source)
            .then_some("it was refused while it was read, so it never was an event")
    }
}

/// Bytes, in JSON as text if they are text, else as `{"base64": "..."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "RawForm", try_from = "RawForm")]
pub struct Raw(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawForm {
    Text(String),
    Base64 { base64: String },
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    length: usize,
}

/// What is in the store of one pipeline, at one moment. Holds where letters stand, not the letters.
#[derive(Debug)]
pub struct Letters {
    files: Vec<PathBuf>,
    places: BTreeMap<u64, Place>,
    unreadable: u64,
    /// How many whole lines each file has.
    lines: Vec<usize>,
}

/// The folder of a pipeline's dead letters.
pub fn folder(data_dir: &Path, pipeline: &str) -> PathBuf {
    data_dir.join(pipeline).join("dead-letters")
}

/// The part of a line that says what it is.
#[derive(Deserialize)]
struct Line {
    id: Option<u64>,
    #[serde(default)]
    removed: Vec<u64>,
}

impl Letters {
    /// What is in a folder, which need not exist.
    ///
    /// # Errors
    /// If the folder exists and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let files = files(folder)?;
        let mut letters = Self { places: BTreeMap::new(), unreadable: 0, lines: vec![0; files.len()], files };
        for file in 0..letters.files.len() {
            letters.index(file)?;
        }
        Ok(letters)
    }

    fn index(&mut self, file: usize) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(&self.files[file])?);
        let (mut line, mut offset) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            self.lines[file] += 1;
            match serde_json::from_slice(&line) {
                Ok(Line { id: Some(id), .. }) => {
                    self.places.insert(id, Place { file, offset, length: read });
                }
                Ok(Line { id: None, removed }) => {
                    for id in removed {
                        self.places.remove(&id);
                    }
                }
                Err(_) => self.unreadable += 1,
            }
            offset += read as u64;
        }
    }

    /// How many letters there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many lines could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The numbers of the letters, growing.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// The letter of this number.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn get(&self, id: u64) -> io::Result<Option<DeadLetter>> {
        let Some(place) = self.places.get(&id) else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&self.line(*place)?)?))
    }

    /// Every letter, by number.
    ///
    /// # Errors
    /// Of `visit`, or if one cannot be read.
    pub fn each(&self, mut visit: impl FnMut(DeadLetter) -> io::Result<()>) -> io::Result<()> {
        for id in self.ids() {
            if let Some(letter) = self.get(id)? {
                visit(letter)?;
            }
        }
        Ok(())
    }

    fn line(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.files[place.file])?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = vec![0; place.length];
        file.read_exact(&mut line)?;
        Ok(line)
    }
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

impl From<Raw> for RawForm {
    fn from(raw: Raw) -> Self {
        use base64::{Engine, prelude::BASE64_STANDARD};
        match String::from_utf8(raw.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64 { base64: BASE64_STANDARD.encode(error.as_bytes()) },
        }
    }
}

impl TryFrom<RawForm> for Raw {
    type Error = base64::DecodeError;

    fn try_from(form: RawForm) -> Result<Self, Self::Error> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        match form {
            RawForm::Text(text) => Ok(Self(text.into_bytes())),
            RawForm::Base64 { base64 } => BASE64_STANDARD.decode(base64).map(Self),
        }
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
mod tests;
