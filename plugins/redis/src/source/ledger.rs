//! The entries in flight, and those that are to be acknowledged.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tidegate_sdk::Outcome;
use tokio::sync::Notify;

use crate::source::page::Id;

/// The most entries in flight. At the limit the source waits.
const IN_FLIGHT: usize = 1 << 17;

/// The state that the source, the callbacks of its batches and the acknowledging task share.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Notified of every change.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    /// Entries that were read and are not acknowledged.
    in_flight: HashSet<Id>,
    /// Delivered entries and the time of their delivery. Each is in flight too.
    delivered: VecDeque<(Instant, Vec<Id>)>,
    closing: bool,
    abandoned: bool,
}

impl State {
    fn forget(&mut self, ids: &[Id]) {
        for id in ids {
            self.in_flight.remove(id);
        }
    }
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// True if more may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.state().in_flight.len() < IN_FLIGHT
    }

    /// Adds an entry to those in flight. False if it is in flight already.
    pub(crate) fn begin(&self, id: Id) -> bool {
        self.state().in_flight.insert(id)
    }

    /// All entries in flight.
    pub(crate) fn in_flight(&self) -> Vec<Id> {
        self.state().in_flight.iter().copied().collect()
    }

    /// The number of entries in flight.
    pub(crate) fn len(&self) -> usize {
        self.state().in_flight.len()
    }

    /// Records the outcome of a batch. Entries that failed stay pending and are read again.
    pub(crate) fn record(&self, ids: Vec<Id>, outcome: &Outcome) {
        let mut state = self.state();
        match outcome {
            Outcome::Failed => state.forget(&ids),
            Outcome::Delivered | Outcome::Rejected(_) => state.delivered.push_back((Instant::now(), ids)),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes the entries that were delivered `lag` ago or earlier. Returns them and the time at which more are due.
    pub(crate) fn take_due(&self, lag: Duration) -> (Vec<Id>, Option<Instant>) {
        let mut state = self.state();
        let mut due = Vec::new();
        while let Some((since, _)) = state.delivered.front() {
            if since.elapsed() < lag {
                break;
            }
            due.extend(state.delivered.pop_front().into_iter().flat_map(|(_, ids)| ids));
        }
        (due, state.delivered.front().map(|(since, _)| *since + lag))
    }

    /// Gives back entries that could not be acknowledged.
    pub(crate) fn give_back(&self, ids: Vec<Id>, since: Instant) {
        self.state().delivered.push_front((since, ids));
    }

    /// Removes entries that are acknowledged.
    pub(crate) fn released(&self, ids: &[Id]) {
        let mut state = self.state();
        state.forget(ids);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the acknowledging task once all delivered entries are acknowledged.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_waiters();
    }

    /// Ends the acknowledging task at once.
    pub(crate) fn abandon(&self) {
        self.state().abandoned = true;
        self.changed.notify_waiters();
    }

    /// True if the acknowledging task is to end now.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.abandoned || (state.closing && state.delivered.is_empty())
    }

    /// True if the acknowledging task is to end soon.
    pub(crate) fn is_closing(&self) -> bool {
        let state = self.state();
        state.abandoned || state.closing
    }
}
