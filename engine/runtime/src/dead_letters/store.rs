//! Store of dead letters, for writing: appends, removes, and reclaims the space of removed ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tidegate_sdk::Size;

use crate::dead_letters::dead_letter::DeadLetter;
use crate::dead_letters::index::{DeadLetterIndex, Line, files};
use crate::storage::lock::{self, LockError};
use crate::storage::private;
use crate::storage::sync::sync_folder;

/// Size in bytes at which a file is followed by the next one.
pub(crate) const FILE_SIZE: u64 = 64 << 20;

/// Store of a pipeline, shared by its graphs.
pub(crate) type SharedStore = Arc<Mutex<Store>>;

/// Store of one pipeline, for writing. Its methods block, so they are called off the async workers.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// Size limit in bytes; 0 is no limit.
    limit: Size,
    next_id: u64,
    pub(super) file: Option<(PathBuf, File)>,
    file_size: u64,
    other_size: u64,
}

/// Removes dead letters of a pipeline that does not run, and returns their number.
///
/// # Errors
/// If the pipeline runs, or the store cannot be written.
pub fn remove(data_dir: &Path, pipeline: &str, ids: &BTreeSet<u64>) -> Result<u64, String> {
    let place = data_dir.join(pipeline);
    let _lock = lock::hold(&place).map_err(|locked| match locked {
        LockError::Held { .. } => format!("{locked}; stop it first"),
        LockError::Failed(_) => locked.to_string(),
    })?;
    let removed = || -> io::Result<u64> {
        let mut store = Store::open(folder(data_dir, pipeline), Size(0))?;
        let dead_letters = DeadLetterIndex::open(&store.folder)?;
        let known: Vec<u64> = ids.iter().copied().filter(|id| dead_letters.places.contains_key(id)).collect();
        // Removing everything needs no space, so it works on a full disk.
        if known.len() < dead_letters.len() {
            store.remove(&known)?;
            store.compact()?;
        } else {
            store.clear()?;
        }
        Ok(known.len() as u64)
    };
    removed().map_err(|error| format!("the dead letters in {}: {error}", place.display()))
}

/// Folder of a pipeline's dead letters.
pub fn folder(data_dir: &Path, pipeline: &str) -> PathBuf {
    data_dir.join(pipeline).join("dead-letters")
}

impl Store {
    /// Opens the store in `folder`, which need not exist.
    pub(crate) fn open(folder: PathBuf, limit: Size) -> io::Result<Self> {
        let mut store = Self { folder, limit, next_id: 1, file: None, file_size: 0, other_size: 0 };
        let files = files(&store.folder)?;
        for path in &files {
            store.other_size += fs::metadata(path)?.len();
        }
        // A file is named by the next number at its creation, so the last file has the last number.
        if let Some(last) = files.last() {
            store.next_id = number(last).unwrap_or_default().max(1);
            for line in BufReader::new(File::open(last)?).split(b'\n') {
                if let Ok(Line { id: Some(id), .. }) = serde_json::from_slice(&line?) {
                    store.next_id = store.next_id.max(id + 1);
                }
            }
        }
        Ok(store)
    }

    /// Appends dead letters, and numbers those without a number. They are durable when this returns. After an error none of them
    /// counts as kept.
    pub(crate) fn append(&mut self, dead_letters: &mut [DeadLetter]) -> io::Result<()> {
        let (limit, size) = (self.limit, self.file_size + self.other_size);
        if limit.bytes() > 0 && size >= limit.bytes() {
            let message = format!(
                "{} holds {limit}, which is `[pipeline] dead_letters.size`; stop the pipeline and remove some with `tidegate dead-letters remove`, or allow more",
                self.folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        let mut lines = Vec::new();
        for dead_letter in dead_letters.iter_mut() {
            if dead_letter.id == 0 {
                dead_letter.id = self.next_id;
                self.next_id += 1;
            }
            serde_json::to_writer(&mut lines, dead_letter)?;
            lines.push(b'\n');
        }
        self.write(&lines)
    }

    /// Removes dead letters. Durable when this returns.
    pub(crate) fn remove(&mut self, ids: &[u64]) -> io::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.write(format!("{}\n", json!({ "removed": ids })).as_bytes())
    }

    /// Reclaims the space of removed dead letters.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.seal();
        let dead_letters = DeadLetterIndex::open(&self.folder)?;
        let mut live = vec![0; dead_letters.files.len()];
        for place in dead_letters.places.values() {
            live[place.file] += 1;
        }
        // A file without stale lines is kept.
        let stale = |file: usize| live[file] < dead_letters.lines[file];
        if !(0..live.len()).any(stale) {
            return Ok(());
        }
        // Creates a file even if nothing is left, so that no number is used twice.
        let (_, mut file) = self.create()?;
        let mut size = 0;
        for place in dead_letters.places.values().filter(|place| stale(place.file)) {
            if size >= FILE_SIZE {
                file.sync_data()?;
                (file, size) = (self.create()?.1, 0);
            }
            file.write_all(&dead_letters.line(*place)?)?;
            size += place.length as u64;
        }
        file.sync_data()?;
        for (index, path) in dead_letters.files.iter().enumerate() {
            if stale(index) {
                self.delete(path)?;
            }
        }
        self.other_size = 0;
        for path in files(&self.folder)? {
            self.other_size += fs::metadata(path)?.len();
        }
        Ok(())
    }

    /// Removes everything.
    fn clear(&mut self) -> io::Result<()> {
        self.seal();
        let files = files(&self.folder)?;
        if !files.is_empty() {
            self.create()?;
        }
        files.iter().try_for_each(|path| self.delete(path))
    }

    /// Deletes a file durably, so that no later deletion can survive a crash without this one.
    fn delete(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        sync_folder(path)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.file_size >= FILE_SIZE {
            self.seal();
        }
        let (path, mut file) = match self.file.take() {
            Some(open) => open,
            None => self.create()?,
        };
        match file.write_all(lines).and_then(|()| file.sync_data()) {
            Ok(()) => {
                self.file_size += lines.len() as u64;
                self.file = Some((path, file));
                Ok(())
            }
            // The state after a failed write or fsync is unknown, so the next dead letters go to a new file. A file without a dead
            // dead letter is removed, so that a full disk does not collect empty files.
            Err(error) => {
                if self.file_size == 0 {
                    let _ = fs::remove_file(path);
                }
                self.seal();
                Err(error)
            }
        }
    }

    /// Creates a file after all others. A torn line at the end of an old file stays the last one there.
    pub(super) fn create(&self) -> io::Result<(PathBuf, File)> {
        private::create_folders(&self.folder)?;
        let mut number = self.next_id;
        loop {
            let path = self.folder.join(format!("{number:012}.jsonl"));
            match private::options().append(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                opened => {
                    sync_folder(&path)?;
                    sync_folder(&self.folder)?;
                    return opened.map(|file| (path, file));
                }
            }
        }
    }

    fn seal(&mut self) {
        self.file = None;
        self.other_size += std::mem::take(&mut self.file_size);
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}
