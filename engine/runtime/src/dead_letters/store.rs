//! The store, for writing: letters are added, removed, and what was removed is cleared away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tidegate_sdk::Size;

use crate::dead_letters::index::{DeadLetterIndex, Line, files};
use crate::dead_letters::letter::DeadLetter;
use crate::storage::lock::{self, Busy};
use crate::storage::private;
use crate::storage::sync::sync_folder;

/// A file that has reached this size, in bytes, is followed by another.
pub(crate) const FILE_SIZE: u64 = 64 << 20;

/// The store of a pipeline file, shared by its graphs.
pub(crate) type SharedStore = Arc<Mutex<Store>>;

/// The store of one pipeline, for writing. Blocks: to be used off the async workers.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// How many bytes it may hold; 0 is no limit.
    limit: Size,
    next_id: u64,
    pub(super) file: Option<(PathBuf, File)>,
    file_size: u64,
    other_size: u64,
}

/// Removes letters of a pipeline that does not run, and tells how many of these there were.
///
/// # Errors
/// If the pipeline runs, or the store cannot be written.
pub fn remove(data_dir: &Path, pipeline: &str, ids: &BTreeSet<u64>) -> Result<u64, String> {
    let place = data_dir.join(pipeline);
    let _lock = lock::hold(&place).map_err(|busy| match busy {
        Busy::Held { .. } => format!("{busy}; stop it first"),
        Busy::Failed(_) => busy.to_string(),
    })?;
    let removed = || -> io::Result<u64> {
        let mut store = Store::open(folder(data_dir, pipeline), Size(0))?;
        let letters = DeadLetterIndex::open(&store.folder)?;
        let known: Vec<u64> = ids.iter().copied().filter(|id| letters.places.contains_key(id)).collect();
        // To remove all takes no room, so it helps where the disk is full.
        if known.len() < letters.len() {
            store.remove(&known)?;
            store.compact()?;
        } else {
            store.clear()?;
        }
        Ok(known.len() as u64)
    };
    removed().map_err(|error| format!("the dead letters in {}: {error}", place.display()))
}

/// The folder of a pipeline's dead letters.
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
        // A file is named by the number that came next when it was begun, so the last one knows the last number.
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

    /// Appends letters, and gives those that have none their number. They are durable when this returns. After
    /// an error none of them counts as kept.
    pub(crate) fn append(&mut self, letters: &mut [DeadLetter]) -> io::Result<()> {
        let (limit, size) = (self.limit, self.file_size + self.other_size);
        if limit.bytes() > 0 && size >= limit.bytes() {
            let message = format!(
                "{} holds {limit}, which is `[pipeline] dead_letters.size`; stop the pipeline and remove some with `tidegate dead-letters remove`, or allow more",
                self.folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        let mut lines = Vec::new();
        for letter in letters.iter_mut() {
            if letter.id == 0 {
                letter.id = self.next_id;
                self.next_id += 1;
            }
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
        }
        self.write(&lines)
    }

    /// Says of these letters that they are no more. Durable when this returns.
    pub(crate) fn remove(&mut self, ids: &[u64]) -> io::Result<()> {
        match ids.is_empty() {
            true => Ok(()),
            false => self.write(format!("{}\n", json!({ "removed": ids })).as_bytes()),
        }
    }

    /// Gives back the room of what was removed.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.seal();
        let letters = DeadLetterIndex::open(&self.folder)?;
        let mut live = vec![0; letters.files.len()];
        for place in letters.places.values() {
            live[place.file] += 1;
        }
        // A file of which every line counts stays as it is.
        let stale = |file: usize| live[file] < letters.lines[file];
        if !(0..live.len()).any(stale) {
            return Ok(());
        }
        // So that numbers are never given twice, even if nothing is left.
        let (_, mut file) = self.create()?;
        let mut size = 0;
        for place in letters.places.values().filter(|place| stale(place.file)) {
            if size >= FILE_SIZE {
                file.sync_data()?;
                (file, size) = (self.create()?.1, 0);
            }
            file.write_all(&letters.line(*place)?)?;
            size += place.length as u64;
        }
        file.sync_data()?;
        for (index, path) in letters.files.iter().enumerate() {
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

    /// Deletes a file, so that no later deletion can be durable before this one is.
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
            // What a failed write or fsync has left is unknown, so the next letters go to a new file. One that
            // never held a letter goes, lest a full disk be filled with files of nothing.
            Err(error) => {
                if self.file_size == 0 {
                    let _ = fs::remove_file(path);
                }
                self.seal();
                Err(error)
            }
        }
    }

    /// A new file behind all others: a torn line at the end of an old one stays the last of its file.
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
