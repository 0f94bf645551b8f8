//! Index of a dead-letter store: where each dead letter is in the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::dead_letters::letter::DeadLetter;

/// Where a letter stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLocation {
    pub(super) file: usize,
    offset: u64,
    pub(super) length: usize,
}

/// What is in the store of one pipeline, at one moment. Holds where letters stand, not the letters.
#[derive(Debug)]
pub struct DeadLetterIndex {
    pub(super) files: Vec<PathBuf>,
    pub(super) places: BTreeMap<u64, LineLocation>,
    unreadable: u64,
    /// How many whole lines each file has.
    pub(super) lines: Vec<usize>,
}

/// The part of a line that says what it is.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) id: Option<u64>,
    #[serde(default)]
    removed: Vec<u64>,
}

impl DeadLetterIndex {
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

    pub(super) fn line(&self, place: LineLocation) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.files[place.file])?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = vec![0; place.length];
        file.read_exact(&mut line)?;
        Ok(line)
    }
}

/// The files of a store, oldest first.
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
