//! The store of a pipeline.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_sdk::Lane;

use crate::changes::{Changes, FINISHED, Kind, RawEntry, decode_clock, decode_record};
use crate::coding::Cursor;
use crate::error::{CommitError, FilterError, FingerprintMismatch, OpenError, OutboxError, ReadError};
use crate::filter::{Epoch, FilterId, FilterInfo};
use crate::options::{Fingerprint, MAX_COMMIT, Options};
use crate::outbox::{OutboxCursor, OutboxEntry, RawOutboxEntry};
use crate::recovered::{Entries, Recovered};
use crate::storage::lock;

/// The store of a pipeline. Open once; its methods may be called from several threads.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    filters: Mutex<BTreeMap<u32, Memory>>,
    epoch: u64,
    _lock: File,
}

#[derive(Debug)]
struct Memory {
    info: FilterInfo,
    entries: BTreeMap<(Kind, Vec<u8>, Vec<u8>), Vec<u8>>,
    outbox: Vec<OutboxEntry>,
    next: u64,
}

/// Result of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the first event of this commit.
    pub first: u64,
    /// The number of the next event.
    pub next: u64,
}

/// Sizes of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes of all files.
    pub disk: u64,
    /// Reason of a store that accepts no commits.
    pub poisoned: Option<String>,
}

impl Store {
    /// Opens the store in `folder`, or creates it. It is locked until it is dropped.
    ///
    /// # Errors
    /// If it is open elsewhere, belongs to another pipeline, was written by a newer version, is damaged, or cannot be written.
    pub fn open(folder: &Path, _options: Options) -> Result<Self, OpenError> {
        let lock = lock::hold(folder).map_err(|error| OpenError::Locked(error.to_string()))?;
        Ok(Self { folder: folder.to_owned(), filters: Mutex::default(), epoch: rand::random(), _lock: lock })
    }

    /// Opens a filter, or creates its store, and returns what is stored.
    ///
    /// # Errors
    /// If the fingerprint is not the one that the stored bytes belong to, or the store cannot be read or written.
    pub fn filter(&self, name: &str, fingerprint: &Fingerprint) -> Result<Recovered, FilterError> {
        let mut filters = self.filters.lock();
        let known = filters.iter().find(|(_, filter)| filter.info.name == name).map(|(id, _)| *id);
        let id = match known {
            Some(id) => {
                compare(name, &filters[&id].info.fingerprint, fingerprint)
                    .map_err(FilterError::Fingerprint)?;
                id
            }
            None => {
                let id = filters.keys().next_back().map_or(0, |last| last + 1);
                let info = FilterInfo {
                    name: name.to_owned(),
                    generation: rand::random(),
                    fingerprint: fingerprint.clone(),
                    epochs: vec![Epoch { epoch: self.epoch, first: 0 }],
                };
                filters.insert(id, Memory { info, entries: BTreeMap::new(), outbox: Vec::new(), next: 0 });
                id
            }
        };
        Ok(self.recovered(FilterId(id), known.is_none(), &filters[&id]))
    }

    fn recovered(&self, filter: FilterId, is_new: bool, memory: &Memory) -> Recovered {
        let lane = |key: &[u8], sub_key: &[u8]| Lane {
            source: Arc::from(String::from_utf8_lossy(key)),
            partition: Arc::from(String::from_utf8_lossy(sub_key)),
        };
        let mut recovered = Recovered {
            filter,
            info: memory.info.clone(),
            is_new,
            epoch: self.epoch,
            records: BTreeMap::new(),
            clocks: BTreeMap::new(),
            meta: BTreeMap::new(),
            finished: false,
            outbox: 0..memory.next,
            entries: Entries { list: Vec::new().into_iter(), current: Default::default() },
        };
        let mut list = Vec::new();
        for ((kind, key, sub_key), value) in &memory.entries {
            match kind {
                Kind::State => list.push((key.clone(), sub_key.clone(), value.clone())),
                Kind::Record => {
                    recovered
                        .records
                        .extend(decode_record(value).ok().map(|record| (lane(key, sub_key), record)));
                }
                Kind::Clock => {
                    recovered
                        .clocks
                        .extend(decode_clock(value).ok().map(|clock| (lane(key, sub_key), clock)));
                }
                Kind::Meta => {
                    recovered.meta.insert(String::from_utf8_lossy(key).into_owned(), value.clone());
                }
                Kind::System => recovered.finished |= key == FINISHED,
            }
        }
        recovered.entries.list = list.into_iter();
        recovered
    }

    /// Commits the changes of one filter. They are durable when this returns.
    ///
    /// # Errors
    /// See [`CommitError`]. Nothing of the commit is visible then.
    pub fn commit(&self, changes: &Changes) -> Result<Receipt, CommitError> {
        let mut receipts = self.commit_all(&[changes])?;
        receipts.pop().ok_or(CommitError::UnknownFilter)
    }

    /// Commits the changes of several filters at once, all or nothing. They are durable when this returns.
    ///
    /// # Errors
    /// See [`CommitError`]. Nothing of the commit is visible then.
    pub fn commit_all(&self, all: &[&Changes]) -> Result<Vec<Receipt>, CommitError> {
        let size = all.iter().map(|changes| changes.size()).sum();
        if size > MAX_COMMIT {
            return Err(CommitError::TooLarge(size));
        }
        let mut filters = self.filters.lock();
        if all.iter().any(|changes| !filters.contains_key(&changes.filter.0)) {
            return Err(CommitError::UnknownFilter);
        }
        let mut receipts = Vec::with_capacity(all.len());
        for changes in all {
            let Some(memory) = filters.get_mut(&changes.filter.0) else { continue };
            let first = memory.next;
            let mut cursor = Cursor::new(&changes.entries);
            while let Ok(RawEntry { kind, key, sub_key, value }) = RawEntry::decode(&mut cursor) {
                let place = (kind, key.to_vec(), sub_key.to_vec());
                match value {
                    Some(value) => drop(memory.entries.insert(place, value.to_vec())),
                    None => drop(memory.entries.remove(&place)),
                }
            }
            let mut cursor = Cursor::new(&changes.events);
            while let Ok(entry) = RawOutboxEntry::decode(&mut cursor) {
                memory.outbox.push(entry.to_entry(memory.next, Bytes::copy_from_slice));
                if matches!(entry, RawOutboxEntry::Event(_)) {
                    memory.next += 1;
                }
            }
            receipts.push(Receipt { first, next: memory.next });
        }
        Ok(receipts)
    }

    /// Reads entries of an outbox from `cursor` on, at most about `max_bytes` but at least one, and moves the cursor on. Empty
    /// at the end.
    ///
    /// # Errors
    /// If the event was trimmed or never existed, or the store cannot be read.
    pub fn read_outbox(
        &self,
        filter: FilterId,
        cursor: &mut OutboxCursor,
        max_bytes: usize,
    ) -> Result<Vec<OutboxEntry>, OutboxError> {
        let filters = self.filters.lock();
        let memory = filters.get(&filter.0).ok_or(OutboxError::Read(ReadError::UnknownFilter))?;
        if cursor.number > memory.next {
            return Err(OutboxError::Beyond { number: cursor.number, next: memory.next });
        }
        let (mut number, mut marks, mut size) = (0, 0, 0);
        let mut found = Vec::new();
        for entry in &memory.outbox {
            let wanted = (number, marks) >= (cursor.number, cursor.marks);
            if wanted && size >= max_bytes {
                break;
            }
            match entry {
                OutboxEntry::Event(event) => {
                    size += if wanted { event.payload.len() } else { 0 };
                    (number, marks) = (event.number + 1, 0);
                }
                OutboxEntry::Mark(_) => marks += 1,
            }
            if wanted {
                found.push(entry.clone());
                *cursor = OutboxCursor { number, marks };
            }
        }
        Ok(found)
    }

    /// Allows the store to forget events below `below`, because every sink has acknowledged them. The newest of them stay
    /// readable, as far as the options of the store say.
    pub fn trim_outbox(&self, _filter: FilterId, _below: u64, _now: Instant) {}

    /// Removes the state and the outbox of a filter. It begins with a new generation when it is opened again.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn reset(&self, name: &str) -> Result<bool, CommitError> {
        let mut filters = self.filters.lock();
        let before = filters.len();
        filters.retain(|_, filter| filter.info.name != name);
        Ok(filters.len() < before)
    }

    /// Gives the state of a filter another name. False if there is no state under the old name, or one under the new name.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn rename(&self, old: &str, new: &str) -> Result<bool, CommitError> {
        let mut filters = self.filters.lock();
        if filters.values().any(|filter| filter.info.name == new) {
            return Ok(false);
        }
        let renamed = filters.values_mut().find(|filter| filter.info.name == old);
        Ok(renamed.map(|filter| new.clone_into(&mut filter.info.name)).is_some())
    }

    /// Filters that have a store.
    pub fn filters(&self) -> Vec<FilterInfo> {
        self.filters.lock().values().map(|filter| filter.info.clone()).collect()
    }

    /// Merges files, if there are enough of them. True if there may be more to do.
    ///
    /// # Errors
    /// If the disk is full, or the store is poisoned.
    pub fn merge(&self) -> Result<bool, CommitError> {
        Ok(false)
    }

    /// Sizes of the store.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Finds the first option that differs.
fn compare(filter: &str, was: &Fingerprint, now: &Fingerprint) -> Result<(), FingerprintMismatch> {
    let different = was.keys().chain(now.keys()).find(|option| was.get(*option) != now.get(*option));
    different.map_or(Ok(()), |option| {
        Err(FingerprintMismatch {
            filter: filter.to_owned(),
            option: option.clone(),
            was: was.get(option).cloned(),
            now: now.get(option).cloned(),
        })
    })
}
