//! Transactions of effectively-once delivery: events and their source position are stored together, or neither is.
//!
//! A commit appends to the files, makes them durable, and then appends one line to the ledger with the new length of each
//! file. Before that line nothing has happened: bytes after the lengths in the ledger are cut off, by the next commit
//! after a failure or by the next claim after a crash. So a file is entered in the ledger before its first byte is
//! written, and a rename before it happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_sdk::{Batch, Claim, Delivery, Error, Lane, Record};

use super::encode::encode;
use super::ledger::{Change, Ledger, Mark, Owner, Sealing, Standing};
use super::location::Location;
use super::options::SinkOptions;
use super::restore::{self, Restored, restore};
use super::rotate;
use super::route::{self, Refused};
use super::{confine, ownership};
use crate::failure::failed;

/// Claimed lanes of one sink, and its files.
pub(crate) struct Transactions {
    options: Arc<SinkOptions>,
    ledger: Ledger,
    open: HashMap<String, Open>,
    /// Files that a failed commit may have written to. They are cut before the next one.
    uncommitted: Vec<String>,
    clock: u64,
    /// Lock that excludes other processes.
    _lock: ownership::Lock,
}

struct Open {
    file: File,
    created: SystemTime,
    used: u64,
}

/// File of a commit: its path, and the bytes that are appended.
struct Part {
    path: String,
    bytes: Bytes,
}

impl Transactions {
    /// Claims the lanes, and cuts off everything that was written and never committed.
    pub(crate) fn claim(options: Arc<SinkOptions>, claim: &Claim) -> Result<Self, Error> {
        let path = ownership::ledger_path(&options.path);
        let lock = ownership::lock(&path)?;
        let (epoch, state) = ownership::recover(&path, claim, &options)?;
        let owner = Owner { pipeline: claim.pipeline.to_string(), sink: claim.sink.to_string(), epoch };
        let problem = |error| failed(format!("{} cannot be written", path.display()), &error);
        let ledger = Ledger::create(path.clone(), owner, state).map_err(problem)?;
        Ok(Self { options, ledger, open: HashMap::new(), uncommitted: Vec::new(), clock: 0, _lock: lock })
    }

    /// Returns the record of each lane.
    pub(crate) fn lanes(&self) -> &BTreeMap<Lane, Record> {
        &self.ledger.state().lanes
    }

    /// Appends the events and stores the record of the lane, both or neither.
    pub(crate) fn commit(&mut self, batch: &Batch, lane: &Lane, record: &Record) -> Result<Delivery, Error> {
        self.check_standing()?;
        self.take_back()?;
        if self.lanes().get(lane) == Some(record) {
            return Ok(Delivery::complete());
        }
        let mut delivery = Delivery::complete();
        let files = if batch.is_empty() {
            Vec::new()
        } else {
            route::assign(&self.options.path, batch, &mut delivery)
        };
        self.clock += 1;
        let begun = self.begin(batch, &files, &mut delivery)?;
        if !delivery.rejected().is_empty() {
            return Ok(delivery);
        }
        let parts = self.encode(batch, files)?;
        self.prepare(&parts, begun)?;
        self.uncommitted.extend(parts.iter().map(|part| part.path.clone()));
        let mut change = Change::of(lane, record);
        for part in &parts {
            change.files.insert(part.path.clone(), Some(self.append(part)?));
        }
        self.enter(change)?;
        self.uncommitted.clear();
        Ok(delivery)
    }

    /// Checks that no other process has claimed the lanes, and that the ledger is still there.
    fn check_standing(&self) -> Result<(), Error> {
        let path = self.ledger.path().display();
        match self.ledger.standing() {
            Ok(Standing::Ours) => Ok(()),
            Ok(Standing::Taken) => {
                Err(Error::fatal(format!("{path} was claimed by another process, so this one ends")))
            }
            Ok(Standing::Gone) => Err(Error::fatal(format!(
                "{path} is gone, without which a crash would lose or repeat events; move it back, or start the pipeline \
                 over"
            ))),
            Err(error) => Err(failed(format!("{path} cannot be read"), &error)),
        }
    }

    /// Takes back a failed commit: first its line in the ledger, then its bytes in the files.
    fn take_back(&mut self) -> Result<(), Error> {
        let problem = |path: &Path, error| failed(format!("{} cannot be written", path.display()), &error);
        self.ledger.repair().map_err(|error| problem(self.ledger.path(), error))?;
        while let Some(path) = self.uncommitted.last() {
            self.open.remove(path);
            if let Some(mark) = self.ledger.state().files.get(path) {
                let location = Location::new(&self.options.path, path);
                if restore(&location, mark)?.is_none() && location.root().is_some() {
                    restore::restore_moved(&location, mark);
                }
            }
            self.uncommitted.pop();
        }
        Ok(())
    }

    /// Opens or creates the files that the ledger does not know. Events whose path is not allowed are rejected.
    fn begin(
        &mut self,
        batch: &Batch,
        files: &[(String, Vec<usize>)],
        delivery: &mut Delivery,
    ) -> Result<Change, Error> {
        let mut change = Change::default();
        for (path, events) in files {
            if self.is_known(path)? {
                continue;
            }
            debug_assert!(events.iter().all(|event| *event < batch.len()));
            match self.begin_file(path) {
                Ok(mark) => drop(change.files.insert(path.clone(), Some(mark))),
                Err(Refused::Error(error)) => return Err(error),
                Err(Refused::Path(reason)) => {
                    for event in events {
                        delivery.reject(*event, reason.clone());
                    }
                }
            }
        }
        Ok(change)
    }

    /// Tells whether the file is in the ledger and unchanged.
    fn is_known(&mut self, path: &str) -> Result<bool, Error> {
        let Some(mark) = self.ledger.state().files.get(path) else { return Ok(false) };
        let length = if mark.sealing.is_some() { 0 } else { mark.length };
        if let Some(open) = self.open.get_mut(path)
            && restore::is_at(&Location::new(&self.options.path, path), &open.file, length).unwrap_or(false)
        {
            open.used = self.clock;
            return Ok(true);
        }
        self.open.remove(path);
        match restore(&Location::new(&self.options.path, path), mark)? {
            Some(restored) => {
                self.keep_open(path, restored);
                Ok(true)
            }
            None if self.options.path.as_literal().is_none() => Ok(false),
            None => Err(ownership::missing(path)),
        }
    }

    fn begin_file(&mut self, path: &str) -> Result<Mark, Refused> {
        if ownership::is_reserved(path) {
            return Err(Refused::Path(format!("`{path}` has the ending of the ledgers of this sink")));
        }
        let location = Location::new(&self.options.path, path);
        confine::one_name(&location).map_err(Refused::Path)?;
        let restored = restore::begin(&location, &self.options)?;
        let mark = restored.mark.clone();
        self.keep_open(path, restored);
        Ok(mark)
    }

    fn keep_open(&mut self, path: &str, restored: Restored) {
        while self.open.len() >= self.options.max_open {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(path, _)| path.clone());
            let Some(oldest) = oldest else { break };
            self.open.remove(&oldest);
        }
        let open = Open { file: restored.file, created: restored.created, used: self.clock };
        self.open.insert(path.to_owned(), open);
    }

    /// Encodes the events of each file.
    fn encode(&self, batch: &Batch, files: Vec<(String, Vec<usize>)>) -> Result<Vec<Part>, Error> {
        let encode =
            |(path, events): (String, Vec<usize>)| match encode(batch, &events, self.options.compress) {
                Ok(bytes) => Ok(Part { path, bytes }),
                Err(error) => Err(failed(format!("{path} cannot be compressed"), &error)),
            };
        files.into_iter().map(encode).collect()
    }

    /// Enters in the ledger the files that are new, and those that are sealed first.
    fn prepare(&mut self, parts: &[Part], mut change: Change) -> Result<(), Error> {
        let mut sealed = Vec::new();
        for part in parts {
            if change.files.contains_key(&part.path) || !self.is_due(part) {
                continue;
            }
            if let Some(mark) = self.sealing(&part.path)? {
                change.files.insert(part.path.clone(), Some(mark));
                sealed.push(part.path.clone());
            }
        }
        if change.files.is_empty() {
            return Ok(());
        }
        self.forget_unused(parts, &mut change);
        self.enter(change)?;
        for path in sealed {
            self.open.remove(&path);
            self.file(&path)?;
            if let Ok(folder) = Location::new(&self.options.path, &path).folder() {
                rotate::forget_old(&folder, self.options.rotate.and_then(|rotate| rotate.keep));
            }
        }
        Ok(())
    }

    /// Tells whether the file must be sealed before this part is appended.
    fn is_due(&self, part: &Part) -> bool {
        let Some(rotate) = self.options.rotate else { return false };
        let length = self.committed_length(&part.path);
        if length == 0 {
            return false;
        }
        let too_large = rotate.size.is_some_and(|size| length + part.bytes.len() as u64 > size.bytes());
        let age = self.open.get(&part.path).and_then(|open| open.created.elapsed().ok());
        too_large || rotate.every.zip(age).is_some_and(|(every, age)| age >= *every)
    }

    /// Returns the committed length of the file.
    fn committed_length(&self, path: &str) -> u64 {
        let mark = self.ledger.state().files.get(path).filter(|mark| mark.sealing.is_none());
        mark.map_or(0, |mark| mark.length)
    }

    fn sealing(&mut self, path: &str) -> Result<Option<Mark>, Error> {
        let known = self.file(path)?.metadata();
        let known = known.map_err(|error| failed(format!("{path} cannot be read"), &error))?;
        let folder = Location::new(&self.options.path, path).folder();
        let folder = folder.map_err(|error| failed(format!("{path} cannot be sealed"), &error))?;
        let name = rotate::sealed_name(&folder, Timestamp::now()).to_string_lossy().into_owned();
        let mark = self.ledger.state().files.get(path).cloned();
        let sealing = Some(Sealing { name, device: known.dev(), inode: known.ino() });
        Ok(mark.map(|mark| Mark { sealing, ..mark }))
    }

    /// Removes files from the ledger that were not used recently, so that it does not grow with their number.
    fn forget_unused(&self, parts: &[Part], change: &mut Change) {
        let files = &self.ledger.state().files;
        let room = self.options.max_open.saturating_sub(change.files.len());
        if files.len() <= room {
            return;
        }
        let parts: HashSet<&String> = parts.iter().map(|part| &part.path).collect();
        let needed = |path: &String| {
            self.open.contains_key(path) || change.files.contains_key(path) || parts.contains(path)
        };
        let old: Vec<String> = files.keys().filter(|path| !needed(path)).cloned().collect();
        change.files.extend(old.into_iter().map(|path| (path, None)));
    }

    /// Appends to the file and makes that durable. Returns its new mark.
    fn append(&mut self, part: &Part) -> Result<Mark, Error> {
        let start = self.committed_length(&part.path);
        let mut file = self.file(&part.path)?;
        let problem =
            |what: &str, error: &io::Error| failed(format!("{} cannot be {what}", part.path), error);
        if let Err(error) = file.write_all(&part.bytes) {
            // If this fails too, it is cut before the next commit.
            let _ = file.set_len(start);
            return Err(problem("written", &error));
        }
        // After a failure the kernel may have dropped the data and marked it clean. The next commit opens the file again,
        // cuts it, and writes again.
        file.sync_data().map_err(|error| problem("made durable", &error))?;
        let length = start + part.bytes.len() as u64;
        Mark::of(file, length).map_err(|error| problem("read", &error))
    }

    /// Returns the open file at a path that is in the ledger.
    fn file(&mut self, path: &str) -> Result<&File, Error> {
        if !self.open.contains_key(path) {
            let mark = self.ledger.state().files.get(path).cloned().unwrap_or_default();
            let location = Location::new(&self.options.path, path);
            let restored = restore(&location, &mark)?.ok_or_else(|| ownership::missing(path))?;
            self.keep_open(path, restored);
        }
        let open = self.open.get(path).ok_or_else(|| Error::retry(format!("{path} is not open")))?;
        Ok(&open.file)
    }

    fn enter(&mut self, change: Change) -> Result<(), Error> {
        let path: PathBuf = self.ledger.path().to_owned();
        self.ledger
            .append(change)
            .map_err(|error| failed(format!("{} cannot be written", path.display()), &error))
    }
}
