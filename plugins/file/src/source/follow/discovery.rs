//! Looking which files there are, whatever reading is doing.
//!
//! A file that is found is opened at once, so that it can be read to its end whatever becomes of its name meanwhile.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_sdk::{Cx, Error};
use tokio::sync::Notify;

use super::siblings::{self, Folders, Identity};
use crate::failure::reason;
use crate::source::feed::on_shared_thread;
use crate::source::listing::{self, Listing};
use crate::source::names::shown;
use crate::source::position::{self, FileId};

/// How many files are followed at once, at most: each is an open descriptor.
pub(crate) const FILES: usize = 1000;
/// How many files may wait, open, until those before them are read.
const WAITING: usize = 500;

/// How often a file may be renamed while it is being opened.
const RENAMES: usize = 5;

/// A file that a path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) id: FileId,
    born: Option<u64>,
    pub(crate) length: u64,
}

/// A file that nobody reads yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) name: String,
    pub(crate) id: FileId,
    pub(crate) file: Arc<File>,
    /// When it was found.
    pub(crate) seen: Instant,
    /// Whether it was there at the start: what was stored of it holds.
    pub(crate) at_start: bool,
}

/// What the last look has found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) found: Vec<Found>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) problem: Option<Error>,
}

/// Where looks are left for the reader.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` if there was no look since the last one was taken.
    found: Option<Vec<Found>>,
    arrivals: VecDeque<Arrival>,
    problem: Option<Error>,
    /// The files that somebody reads, or that wait to be read.
    held: HashSet<FileId>,
}

impl Board {
    /// What was found since the last call; `None` if nobody has looked since.
    pub(crate) fn take(&self) -> Option<Look> {
        let mut state = self.state();
        let (found, problem) = (state.found.take(), state.problem.take());
        if found.is_none() && problem.is_none() {
            return None;
        }
        let arrivals = state.arrivals.drain(..).collect();
        Some(Look { found: found.unwrap_or_default(), arrivals, problem })
    }

    /// Nobody reads the file any more.
    pub(crate) fn let_go(&self, id: FileId) {
        self.state().held.remove(&id);
    }

    /// Somebody reads the file, though it was not found here.
    pub(crate) fn hold(&self, id: FileId) {
        self.state().held.insert(id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again until the pipeline drains.
pub(crate) async fn discover(listing: Listing, pause: Duration, board: Arc<Board>, cx: Cx) {
    let mut discovery = Discovery {
        listing,
        names: HashMap::new(),
        folders: Folders::default(),
        complained: HashSet::new(),
        late: HashSet::new(),
        is_first: true,
    };
    loop {
        let seen = Arc::clone(&board);
        let look = on_shared_thread(&cx, move || {
            discovery.look(&seen);
            discovery
        });
        let Ok(back) = look.await else { return };
        discovery = back;
        board.changed.notify_one();
        if !cx.sleep(pause).await {
            return;
        }
    }
}

struct Discovery {
    listing: Listing,
    /// The file that was opened last of those that each path led to.
    names: HashMap<String, Identity>,
    folders: Folders,
    /// Paths that could not be looked at or opened, so that each is reported once.
    complained: HashSet<PathBuf>,
    /// Those of them that were there at the start.
    late: HashSet<PathBuf>,
    is_first: bool,
}

impl Discovery {
    fn look(&mut self, board: &Board) {
        // Before the paths are looked at: what is made between the two is at one of them, or seen at the next look.
        let folders = self.folders.look(self.names.keys().map(String::as_str));
        let listed = match self.listing.files() {
            Ok(listed) if listed.files.len() <= FILES => listed,
            Ok(listed) => {
                let count = listed.files.len();
                let reason = format!(
                    "{count} files match, and at most {FILES} can be followed at once; narrow the path"
                );
                board.state().problem = Some(Error::misconfigured(reason));
                return;
            }
            Err(error) => {
                board.state().problem = Some(error);
                return;
            }
        };
        let mut troubled = HashSet::new();
        for (path, error) in &listed.problems {
            self.complain(path, error);
            troubled.insert(path.clone());
        }
        let mut found = Vec::with_capacity(listed.files.len());
        let mut fresh = Vec::new();
        for seen in &listed.files {
            let (id, born) = (FileId::of(&seen.known), position::born(&seen.known));
            let one = Found { name: shown(&seen.path), id, born, length: seen.known.len() };
            if one.length > 0 && !board.state().held.contains(&one.id) {
                fresh.push((seen.path.as_path(), one.clone()));
            }
            found.push(one);
        }
        let missed = self.missed(&found, &fresh);
        self.folders = folders;
        let missed = missed.iter().map(|(path, one)| (path.as_path(), one));
        for (path, one) in missed.chain(fresh.iter().map(|(path, one)| (*path, one))) {
            if !self.arrive(path, one, board) {
                troubled.insert(path.to_owned());
            }
        }
        self.complained.retain(|path| troubled.contains(path));
        self.is_first = false;
        self.remember(&found, board);
        board.state().found = Some(found);
    }

    /// Opens a file and leaves it for the reader. False if it cannot be opened.
    fn arrive(&mut self, path: &Path, one: &Found, board: &Board) -> bool {
        if board.state().arrivals.len() >= WAITING {
            let error = io::Error::other(format!("{WAITING} files wait already, which are read first"));
            self.complain(path, &error);
            return false;
        }
        let file = match open(path, one.id) {
            Ok(Some(file)) => file,
            Ok(None) => return true,
            Err(error) => {
                self.complain(path, &error);
                return false;
            }
        };
        let at_start = self.late.remove(path) || self.is_first;
        self.folders.learn(&one.name, (one.id, one.born));
        let mut state = board.state();
        state.held.insert(one.id);
        let (name, id, file) = (one.name.clone(), one.id, Arc::new(file));
        state.arrivals.push_back(Arrival { name, id, file, seen: Instant::now(), at_start });
        true
    }

    /// Takes note of which files are known by now.
    fn remember(&mut self, found: &[Found], board: &Board) {
        self.folders.complete(found.iter().map(|one| one.name.as_str()));
        for one in found {
            let identity = (one.id, one.born);
            if board.state().held.contains(&one.id) {
                self.names.insert(one.name.clone(), identity);
            } else {
                self.folders.forget(&one.name, identity);
            }
        }
        // A path may lead nowhere for a moment, between two files.
        if self.names.len() > 2 * FILES {
            self.names.retain(|name, _| found.iter().any(|one| one.name == *name));
        }
    }

    /// Files that had a path for a while between two looks, and have lost it to another one since: they lie beside
    /// it under the name that rotation gave them.
    fn missed(&self, found: &[Found], fresh: &[(&Path, Found)]) -> Vec<(PathBuf, Found)> {
        let mut missed: Vec<(PathBuf, Found)> = Vec::new();
        for (path, one) in fresh {
            let Some(before) = self.names.get(&one.name).copied() else { continue };
            if before == (one.id, one.born) {
                continue;
            }
            for sibling in siblings::rotated_since(path, before, &self.folders) {
                let identity = (sibling.id, sibling.born);
                let is_known = found.iter().any(|other| (other.id, other.born) == identity)
                    || self.names.values().any(|known| *known == identity)
                    || missed.iter().any(|(_, other)| (other.id, other.born) == identity);
                if !is_known {
                    let (id, born, length) = (sibling.id, sibling.born, sibling.length);
                    missed.push((sibling.path, Found { name: one.name.clone(), id, born, length }));
                }
            }
        }
        missed
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        if self.is_first {
            self.late.insert(path.to_owned());
        }
        if self.complained.insert(path.to_owned()) {
            let (name, why) = (shown(path), reason(error));
            tracing::warn!(file = %name, "{name} cannot be read: {why}; trying again at each look");
        }
    }
}

/// Opens the file of this identity, though it may be rotated at the same time. `None` if it is gone.
fn open(path: &Path, id: FileId) -> io::Result<Option<File>> {
    let mut path = path.to_owned();
    for _ in 0..RENAMES {
        match listing::open(&path).and_then(|file| Ok((FileId::of(&file.metadata()?), file))) {
            Ok((other, file)) if other == id => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match siblings::renamed(&path, id) {
            Some(renamed) => path = renamed,
            None => break,
        }
    }
    Ok(None)
}
