//! Ledger beside the files of one sink: the record of each lane, and the committed length of each file.
//!
//! The ledger is a log of lines, each with its CRC-32. The first line is the whole state, and each line after it a change.
//! A log that has grown is written again under a temporary name, synchronised and renamed. So a change has the same cost
//! for any number of lanes. A torn last line was never committed and is ignored. A damaged line in the middle is refused:
//! without it, files that were created after it would keep events that come again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Lane, Position, Record};

use super::rotate::sync_folder;

const VERSION: u32 = 1;
/// Growth of the log beyond twice its first line after which it is written again.
const GROWTH: u64 = 1 << 20;
/// Bytes before the end of a file by which it is recognised.
const TAIL: u64 = 64;
/// Bytes before the JSON of a line.
const HEADER: usize = 18;

/// State of a file after a commit. Bytes that a crash has left after it are cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) length: u64,
    /// CRC-32 of the last bytes before `length`.
    pub(crate) tail: u32,
    /// Device and inode, by which a file that was moved is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<(u64, u64)>,
    /// Rename that was begun. Nothing is committed of the file that replaces this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sealing: Option<Sealing>,
}

/// New name of a file that is being renamed, with its device and inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealing {
    pub(crate) name: String,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Mark {
    /// Reads the mark of the first `length` bytes of `file`.
    pub(crate) fn of(file: &File, length: u64) -> io::Result<Self> {
        let mut last = [0; TAIL as usize];
        let last = &mut last[..length.min(TAIL) as usize];
        file.read_exact_at(last, length - last.len() as u64)?;
        let known = file.metadata()?;
        Ok(Self { length, tail: crc32fast::hash(last), id: Some((known.dev(), known.ino())), sealing: None })
    }

    /// Tells whether `file` still has the bytes of this mark.
    pub(crate) fn holds(&self, file: &File) -> io::Result<bool> {
        Ok(Self::of(file, self.length)?.tail == self.tail)
    }
}

/// Contents of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) lanes: BTreeMap<Lane, Record>,
    /// Files that a running commit may write to, by path. All others are as they were committed.
    pub(crate) files: BTreeMap<String, Mark>,
}

/// Owner of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) pipeline: String,
    pub(crate) sink: String,
    /// Number of claims so far.
    pub(crate) epoch: u64,
}

/// Change that a commit makes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<Entry>,
    /// New marks by path. `None` removes a file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, Option<Mark>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    source: Arc<str>,
    partition: Arc<str>,
    position: Option<Position>,
    base: u64,
    done: u64,
}

#[derive(Serialize, Deserialize)]
struct Whole {
    version: u32,
    #[serde(flatten)]
    owner: Owner,
    lanes: Vec<Entry>,
    files: BTreeMap<String, Mark>,
}

/// Relation of the file at the path of the ledger to the open ledger.
pub(crate) enum Standing {
    /// The file is the open ledger.
    Ours,
    /// The file does not exist.
    Gone,
    /// The file is another one.
    Taken,
}

/// Open ledger.
pub(crate) struct Ledger {
    path: PathBuf,
    owner: Owner,
    state: State,
    /// `None` after a failure: the state of the last line is unknown, so the log must be written again.
    file: Option<File>,
    length: u64,
    limit: u64,
}

impl Ledger {
    /// Reads the ledger at `path`; `None` if there is none.
    ///
    /// # Errors
    /// The reason why it cannot be trusted.
    pub(crate) fn load(path: &Path) -> Result<Option<(Owner, State)>, String> {
        match fs::read(path) {
            Ok(bytes) => decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot be read ({})", crate::failure::reason(&error))),
        }
    }

    /// Writes a new ledger at `path`. It is durable when this returns.
    pub(crate) fn create(path: PathBuf, owner: Owner, state: State) -> io::Result<Self> {
        let mut ledger = Self { path, owner, state, file: None, length: 0, limit: 0 };
        ledger.rewrite()?;
        Ok(ledger)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Appends a change. It is durable when this returns. After an error it has not happened, as soon as the ledger is
    /// [repaired](Self::repair).
    pub(crate) fn append(&mut self, change: Change) -> io::Result<()> {
        self.repair()?;
        let line = line(&change)?;
        let written = match &self.file {
            Some(file) => file.write_all_at(&line, self.length).and_then(|()| file.sync_data()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if written.is_err() {
            self.file = None;
            return written;
        }
        self.length += line.len() as u64;
        self.state.apply(change);
        Ok(())
    }

    /// Tells whether no write has failed since the log was written.
    pub(crate) fn is_sound(&self) -> bool {
        self.file.is_some()
    }

    /// Writes the log again if the last change failed, which takes that change back, or if it has grown.
    pub(crate) fn repair(&mut self) -> io::Result<()> {
        if self.is_sound() && self.length < self.limit { Ok(()) } else { self.rewrite() }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let entry = |(lane, record): (&Lane, &Record)| Entry::new(lane, record);
        let line = line(&Whole {
            version: VERSION,
            owner: self.owner.clone(),
            lanes: self.state.lanes.iter().map(entry).collect(),
            files: self.state.files.clone(),
        })?;
        let temporary = with_ending(&self.path, ".new");
        let mut file = File::create(&temporary)?;
        file.write_all(&line)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        sync_folder(&self.path)?;
        self.length = line.len() as u64;
        self.limit = self.length * 2 + GROWTH;
        self.file = Some(file);
        Ok(())
    }

    /// Compares the file at the path with the open ledger.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        let Some(file) = &self.file else { return Ok(Standing::Ours) };
        let open = file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => Ok(Standing::Ours),
            Ok(_) => Ok(Standing::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::Gone),
            Err(error) => Err(error),
        }
    }
}

impl State {
    fn apply(&mut self, change: Change) {
        if let Some(entry) = change.lane {
            let (lane, record) = entry.into_parts();
            self.lanes.insert(lane, record);
        }
        for (path, mark) in change.files {
            match mark {
                Some(mark) => drop(self.files.insert(path, mark)),
                None => drop(self.files.remove(&path)),
            }
        }
    }
}

impl Change {
    /// Returns the change that sets the record of a lane.
    pub(crate) fn of(lane: &Lane, record: &Record) -> Self {
        Self { lane: Some(Entry::new(lane, record)), files: BTreeMap::new() }
    }
}

impl Entry {
    fn new(lane: &Lane, record: &Record) -> Self {
        Self {
            source: Arc::clone(&lane.source),
            partition: Arc::clone(&lane.partition),
            position: record.position.clone(),
            base: record.base,
            done: record.done,
        }
    }

    fn into_parts(self) -> (Lane, Record) {
        let lane = Lane { source: self.source, partition: self.partition };
        (lane, Record { position: self.position, base: self.base, done: self.done })
    }
}

/// Appends `ending` to the whole name of `path`.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Encodes a line as `CRC-32 length JSON\n`, with both numbers in eight hexadecimal digits.
fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = vec![b' '; HEADER];
    serde_json::to_writer(&mut line, value)?;
    let header = header(&line[HEADER..]);
    line[..HEADER].copy_from_slice(header.as_bytes());
    line.push(b'\n');
    Ok(line)
}

fn header(json: &[u8]) -> String {
    format!("{:08x} {:08x} ", crc32fast::hash(json), json.len())
}

/// Returns the JSON of a line, if the line is whole.
fn content(line: &[u8]) -> Option<&[u8]> {
    let (front, json) = line.strip_suffix(b"\n")?.split_at_checked(HEADER)?;
    (front == header(json).as_bytes()).then_some(json)
}

/// Tells whether a line that is not whole is longer than its stored length, so that it is more than one torn line.
fn is_several(line: &[u8]) -> bool {
    let length = line.get(9..17).and_then(|digits| std::str::from_utf8(digits).ok());
    let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    length.is_some_and(|length| line.len() > HEADER + length + 1)
}

fn decode(bytes: &[u8]) -> Result<(Owner, State), String> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().and_then(content).ok_or("is damaged")?;
    let version = serde_json::from_slice::<serde_json::Value>(first).map_err(|_| "is damaged")?;
    if version["version"] != VERSION {
        return Err("was written by another version of Tidegate".into());
    }
    let whole: Whole = serde_json::from_slice(first).map_err(|_| "is damaged")?;
    let lanes = whole.lanes.into_iter().map(Entry::into_parts).collect();
    let mut state = State { lanes, files: whole.files };
    while let Some(line) = lines.next() {
        let Some(json) = content(line) else {
            // Only the end can be torn. If a whole line follows, this is not the end.
            let is_middle = is_several(line) || lines.any(|line| content(line).is_some());
            return if is_middle { Err("is damaged in the middle".into()) } else { Ok((whole.owner, state)) };
        };
        state.apply(serde_json::from_slice(json).map_err(|_| "is damaged")?);
    }
    Ok((whole.owner, state))
}

#[cfg(test)]
mod tests;
