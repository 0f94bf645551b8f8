//! Results of discovery, kept until the reader takes them.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tidegate_sdk::Error;
use tokio::sync::Notify;

use crate::source::position::FileId;

/// Most files that may wait, open, until the files before them are read.
const WAITING: usize = 500;

/// Identity that tells a file from every other one that is or was there. An inode alone does not: that of a deleted file
/// is often given to the next one at once.
pub(crate) type Identity = (FileId, Option<u64>);

/// File at a followed path.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) id: FileId,
    pub(crate) created: Option<u64>,
    pub(crate) length: u64,
}

impl Found {
    pub(crate) fn identity(&self) -> Identity {
        (self.id, self.created)
    }
}

/// Open file that is not read yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) name: String,
    pub(crate) id: FileId,
    pub(crate) file: Arc<File>,
    /// Time at which it was found.
    pub(crate) seen: Instant,
    /// Tells whether it was there at the start, so that a stored position holds for it.
    pub(crate) at_start: bool,
}

/// Result of the latest look, with the arrivals of all looks since the reader took the previous result.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) found: Vec<Found>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) problem: Option<Error>,
}

/// Mailbox between discovery, which puts looks in, and the reader, which takes them out.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Notified after each look.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` if the reader has taken the latest look.
    found: Option<Vec<Found>>,
    arrivals: VecDeque<Arrival>,
    problem: Option<Error>,
    /// Files that are read, or wait to be read.
    held: HashSet<FileId>,
}

impl Inbox {
    /// Takes the looks since the last call; `None` if there was none.
    pub(crate) fn take(&self) -> Option<Look> {
        let mut state = self.state();
        let (found, problem) = (state.found.take(), state.problem.take());
        if found.is_none() && problem.is_none() {
            return None;
        }
        let arrivals = state.arrivals.drain(..).collect();
        Some(Look { found: found.unwrap_or_default(), arrivals, problem })
    }

    /// Puts the files of a look in.
    pub(crate) fn put(&self, found: Vec<Found>) {
        self.state().found = Some(found);
    }

    /// Puts in the error that ended a look.
    pub(crate) fn fail(&self, problem: Error) {
        self.state().problem = Some(problem);
    }

    /// Puts a file in that is to be read.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        let mut state = self.state();
        state.held.insert(arrival.id);
        state.arrivals.push_back(arrival);
    }

    /// Returns the limit of waiting files if it is reached.
    pub(crate) fn full(&self) -> Option<usize> {
        (self.state().arrivals.len() >= WAITING).then_some(WAITING)
    }

    /// Tells whether a file is read, or waits to be read.
    pub(crate) fn holds(&self, id: FileId) -> bool {
        self.state().held.contains(&id)
    }

    /// Releases a file that is no longer read.
    pub(crate) fn release(&self, id: FileId) {
        self.state().held.remove(&id);
    }

    /// Marks a file as read that discovery has not found.
    pub(crate) fn hold(&self, id: FileId) {
        self.state().held.insert(id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
