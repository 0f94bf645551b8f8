//! Index of a dead-letter store: the location of each dead letter in the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::dead_letters::dead_letter::DeadLetter;

/// Location of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLocation {
    pub(super) file: usize,
    offset: u64,
    pub(super) length: usize,
}

/// Index of the dead letters of one pipeline, at one moment. Holds their locations, not their contents.
#[derive(Debug)]
pub struct DeadLetterIndex {
    pub(super) files: Vec<PathBuf>,
    pub(super) places: BTreeMap<u64, LineLocation>,
    unreadable: u64,
    /// Number of lines of each file.
    pub(super) lines: Vec<usize>,
}

/// The fields of a line that tell its kind.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) id: Option<u64>,
    #[serde(default)]
    removed: Vec<u64>,
}

impl DeadLetterIndex {
    /// Indexes a folder, which need not exist.
    ///
    /// # Errors
    /// If the folder exists and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let files = files(folder)?;
        let mut dead_letters =
            Self { places: BTreeMap::new(), unreadable: 0, lines: vec![0; files.len()], files };
        for file in 0..dead_letters.files.len() {
            dead_letters.index(file)?;
        }
        Ok(dead_letters)
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
                    self.places.insert(id, LineLocation { file, offset, length: read });
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

    /// Number of dead letters.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether the store has no dead letter.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Number of lines that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Numbers of the dead letters, in order.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// Reads the dead letter with this number.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn get(&self, id: u64) -> io::Result<Option<DeadLetter>> {
        let Some(place) = self.places.get(&id) else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&self.line(*place)?)?))
    }

    /// Reads every dead letter, in order.
    ///
    /// # Errors
    /// Of `visit`, or if one cannot be read.
    pub fn each(&self, mut visit: impl FnMut(DeadLetter) -> io::Result<()>) -> io::Result<()> {
        for id in self.ids() {
            if let Some(dead_letter) = self.get(id)? {
                visit(dead_letter)?;
            }
        }
        Ok(())
    }

    pub(super) fn line(&self, place: LineLocation) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.files[place.file])?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = vec![0; place.length];
        file.read_exact(&mut line)?;
        Ok(line)
    }
}

/// Files of a store, oldest first.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
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
