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

use super::siblings::{self, Folders};
use crate::failure::reason;
use crate::source::feed::on_shared_thread;
use crate::source::listing::{self, Listing};
use crate::source::names::shown;
use crate::source::place::FileId;

/// How many files are followed at once, at most: each is an open descriptor.
pub(crate) const FILES: usize = 1000;
/// How many files may wait, open, until those before them are read.
const WAITING: usize = 500;

/// A file that a path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) id: FileId,
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
    /// Which file each path led to at the last look.
    names: HashMap<String, FileId>,
    folders: Folders,
    /// Paths that could not be looked at or opened, so that each is reported once.
    complained: HashSet<PathBuf>,
    /// Those of them that were there at the start.
    late: HashSet<PathBuf>,
    is_first: bool,
}

impl Discovery {
    fn look(&mut self, board: &Board) {
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
            let one =
                Found { name: shown(&seen.path), id: FileId::of(&seen.known), length: seen.known.len() };
            if one.length > 0 && !board.state().held.contains(&one.id) {
                fresh.push((seen.path.as_path(), one.clone()));
            }
            found.push(one);
        }
        let missed = self.missed(&found, &fresh);
        self.names = found.iter().map(|one| (one.name.clone(), one.id)).collect();
        let missed = missed.iter().map(|(path, one)| (path.as_path(), one));
        for (path, one) in missed.chain(fresh.iter().map(|(path, one)| (*path, one))) {
            if !self.arrive(path, one, board) {
                troubled.insert(path.to_owned());
            }
        }
        self.complained.retain(|path| troubled.contains(path));
        self.is_first = false;
        board.state().found = Some(found);
    }

    /// Opens a file and leaves it for the reader. False if it cannot be opened.
    fn arrive(&mut self, path: &Path, one: &Found, board: &Board) -> bool {
        if board.state().arrivals.len() >= WAITING {
            let error = io::Error::other(format!("{WAITING} files wait already, which are read first"));
            self.complain(path, &error);
            return false;
        }
        let opened = listing::open(path).and_then(|file| Ok((FileId::of(&file.metadata()?), file)));
        let file = match opened {
            Ok((id, file)) if id == one.id => file,
            // It was rotated just now; the next look finds both.
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(error) => {
                self.complain(path, &error);
                return false;
            }
        };
        let at_start = self.late.remove(path) || self.is_first;
        let mut state = board.state();
        state.held.insert(one.id);
        let (name, id, file) = (one.name.clone(), one.id, Arc::new(file));
        state.arrivals.push_back(Arrival { name, id, file, seen: Instant::now(), at_start });
        true
    }

    /// Files that had a path for a while between two looks, and have lost it to another one since: they lie beside
    /// it under the name that rotation gave them.
    fn missed(&mut self, found: &[Found], fresh: &[(&Path, Found)]) -> Vec<(PathBuf, Found)> {
        let mut missed: Vec<(PathBuf, Found)> = Vec::new();
        for (path, one) in fresh {
            let Some(before) = self.names.get(&one.name).filter(|before| **before != one.id) else {
                continue;
            };
            for sibling in siblings::rotated_since(path, *before, &self.folders) {
                let is_known = found.iter().any(|other| other.id == sibling.id)
                    || self.names.values().any(|id| *id == sibling.id)
                    || missed.iter().any(|(_, other)| other.id == sibling.id);
                if !is_known {
                    let missing = Found { name: one.name.clone(), id: sibling.id, length: sibling.length };
                    missed.push((sibling.path, missing));
                }
            }
        }
        let names = found.iter().map(|one| one.name.as_str());
        self.folders.remember(names);
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
