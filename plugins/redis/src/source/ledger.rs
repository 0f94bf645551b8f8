//! Which entries are on their way, and which are to be acknowledged.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_sdk::Outcome;
use tokio::sync::Notify;

use crate::source::page::Id;

/// How many entries may be on their way. Beyond that the source waits.
const IN_FLIGHT: usize = 1 << 17;

/// What the source, the callbacks of its batches and the releasing task share.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Told of every change.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    /// Read, and not acknowledged.
    in_flight: HashSet<Id>,
    /// Delivered, and when. Each is in flight too, so there are no more than those.
    settled: VecDeque<(Instant, Vec<Id>)>,
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
        // Each change is a single step, so what a panicking thread left behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.state().in_flight.len() < IN_FLIGHT
    }

    /// Puts an entry on its way; false if it is on its way already.
    pub(crate) fn begin(&self, id: Id) -> bool {
        self.state().in_flight.insert(id)
    }

    /// Everything that is on its way.
    pub(crate) fn in_flight(&self) -> Vec<Id> {
        self.state().in_flight.iter().copied().collect()
    }

    /// How many entries are on their way.
    pub(crate) fn len(&self) -> usize {
        self.state().in_flight.len()
    }

    /// The entries of one batch have ended. Those that failed stay pending, and are read again.
    pub(crate) fn settle(&self, ids: Vec<Id>, outcome: &Outcome) {
        let mut state = self.state();
        match outcome {
            Outcome::Failed => state.forget(&ids),
            Outcome::Delivered | Outcome::Rejected(_) => state.settled.push_back((Instant::now(), ids)),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes what was delivered `lag` ago or earlier, and when the next will be due.
    pub(crate) fn take_due(&self, lag: Duration) -> (Vec<Id>, Option<Instant>) {
        let mut state = self.state();
        let mut due = Vec::new();
        while let Some((since, _)) = state.settled.front() {
            if since.elapsed() < lag {
                break;
            }
            due.extend(state.settled.pop_front().into_iter().flat_map(|(_, ids)| ids));
        }
        (due, state.settled.front().map(|(since, _)| *since + lag))
    }

    /// Gives back what could not be acknowledged.
    pub(crate) fn give_back(&self, ids: Vec<Id>, since: Instant) {
        self.state().settled.push_front((since, ids));
    }

    /// These are acknowledged.
    pub(crate) fn released(&self, ids: &[Id]) {
        let mut state = self.state();
        state.forget(ids);
        drop(state);
        self.changed.notify_waiters();
    }

    /// No more will be read: what is delivered is acknowledged, and that is the end.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_waiters();
    }

    /// Nobody waits for what is left.
    pub(crate) fn abandon(&self) {
        self.state().abandoned = true;
        self.changed.notify_waiters();
    }

    /// Whether the releasing task is to end.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.abandoned || (state.closing && state.settled.is_empty())
    }

    /// Whether it is to end soon.
    pub(crate) fn is_closing(&self) -> bool {
        let state = self.state();
        state.abandoned || state.closing
    }
}
