//! The entries in flight, and those that are to be acknowledged.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tidegate_sdk::Outcome;
use tokio::sync::Notify;

use crate::source::page::Id;

/// The most entries in flight. At the limit the source waits.
const IN_FLIGHT: usize = 1 << 17;

/// The most delivered entries that wait to be acknowledged, 16 bytes each. At the limit the source waits.
pub(crate) const DELIVERED: usize = 1 << 21;

/// The state that the source, the callbacks of its batches and the acknowledging task share.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Notified of every change.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    /// Entries that were read and have not ended.
    in_flight: HashSet<Id>,
    /// Batches of delivered entries, in the order of their delivery.
    delivered: VecDeque<Delivered>,
    /// The number of delivered entries, including those that are being acknowledged.
    waiting: usize,
    /// Delivered entries that are being acknowledged, in ascending order.
    leaving: Vec<Id>,
    /// The largest id that was read.
    newest: Option<Id>,
    closing: bool,
    abandoned: bool,
}

/// Entries that were delivered together.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delivered {
    /// The time of the delivery.
    since: Option<Instant>,
    /// In ascending order.
    ids: Vec<Id>,
}

impl Delivered {
    fn contains(&self, id: Id) -> bool {
        let spans = self.ids.first().is_some_and(|first| *first <= id)
            && self.ids.last().is_some_and(|last| id <= *last);
        spans && self.ids.binary_search(&id).is_ok()
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.since.is_none_or(|since| since.elapsed() >= age)
    }
}

impl State {
    /// True if this entry was read and is not acknowledged.
    fn is_known(&self, id: Id) -> bool {
        // New entries come with ever larger ids, so most need no search.
        self.newest.is_some_and(|newest| id <= newest)
            && (self.in_flight.contains(&id)
                || self.leaving.binary_search(&id).is_ok()
                || self.delivered.iter().any(|batch| batch.contains(id)))
    }
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// True if more may be read. Entries that wait to be acknowledged have a limit of their own: they are delivered, and
    /// hold no memory but their ids.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.in_flight.len() < IN_FLIGHT && state.waiting < DELIVERED
    }

    /// Adds an entry to those in flight. False if it is in flight already.
    pub(crate) fn begin(&self, id: Id) -> bool {
        let mut state = self.state();
        if state.is_known(id) {
            return false;
        }
        state.newest = state.newest.max(Some(id));
        state.in_flight.insert(id)
    }

    /// The entries that need a sign of life: those in flight, and those that were delivered `age` ago or earlier and are
    /// not acknowledged.
    pub(crate) fn busy(&self, age: Duration) -> Vec<Id> {
        let state = self.state();
        let late = state.delivered.iter().take_while(|batch| batch.is_older_than(age));
        state.in_flight.iter().chain(late.flat_map(|batch| &batch.ids)).copied().collect()
    }

    /// The number of entries that were read and are not acknowledged.
    pub(crate) fn len(&self) -> usize {
        let state = self.state();
        state.in_flight.len() + state.waiting
    }

    /// Records the outcome of a batch. Entries that failed stay pending and are read again.
    pub(crate) fn record(&self, mut ids: Vec<Id>, outcome: &Outcome) {
        ids.sort_unstable();
        let mut state = self.state();
        for id in &ids {
            state.in_flight.remove(id);
        }
        match outcome {
            Outcome::Failed => {}
            Outcome::Delivered | Outcome::Rejected(_) => {
                state.waiting += ids.len();
                state.delivered.push_back(Delivered { since: Some(Instant::now()), ids });
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes the entries that were delivered `lag` ago or earlier. Returns them and the time at which more are due. They
    /// are known until [`acknowledged`](Self::acknowledged).
    pub(crate) fn take_due(&self, lag: Duration) -> (Delivered, Option<Instant>) {
        let mut state = self.state();
        let mut due = Delivered::default();
        while state.delivered.front().is_some_and(|batch| batch.is_older_than(lag)) {
            let Some(batch) = state.delivered.pop_front() else { break };
            due.since = due.since.or(batch.since);
            due.ids.extend(batch.ids);
        }
        due.ids.sort_unstable();
        state.leaving.clone_from(&due.ids);
        (due, state.delivered.front().and_then(|batch| batch.since).map(|since| since + lag))
    }

    /// Gives back entries that could not be acknowledged.
    pub(crate) fn give_back(&self, due: Delivered) {
        let mut state = self.state();
        state.leaving = Vec::new();
        state.delivered.push_front(due);
    }

    /// Removes entries that are acknowledged.
    pub(crate) fn acknowledged(&self, due: &Delivered) {
        let mut state = self.state();
        state.leaving = Vec::new();
        state.waiting -= due.ids.len();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Removes entries that the sink has acknowledged.
    pub(crate) fn released(&self, ids: &[Id]) {
        let mut state = self.state();
        for id in ids {
            state.in_flight.remove(id);
        }
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

impl Delivered {
    /// The entries.
    pub(crate) fn ids(&self) -> &[Id] {
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: std::ops::Range<u64>) -> Vec<Id> {
        numbers.map(|number| Id(number, 0)).collect()
    }

    #[test]
    fn entries_that_wait_to_be_acknowledged_do_not_count_as_in_flight() {
        let ledger = Ledger::default();
        for batch in 0..DELIVERED as u64 / 8192 {
            assert!(ledger.has_room(), "after {batch} batches");
            let ids = ids(batch * 8192..(batch + 1) * 8192);
            ids.iter().for_each(|id| assert!(ledger.begin(*id)));
            ledger.record(ids, &Outcome::Delivered);
        }
        assert!(!ledger.has_room(), "their ids are bounded too");
        let (due, next) = ledger.take_due(Duration::ZERO);
        assert_eq!((due.ids().len(), next), (DELIVERED, None));
        assert!(!ledger.has_room());
        ledger.acknowledged(&due);
        assert!(ledger.has_room());
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn entry_is_known_until_it_is_acknowledged() {
        let ledger = Ledger::default();
        let second = Id(2, 0);
        ids(1..4).into_iter().for_each(|id| assert!(ledger.begin(id)));
        assert!(!ledger.begin(second), "in flight");
        ledger.record(ids(1..4), &Outcome::Delivered);
        assert!(!ledger.begin(second), "delivered");
        assert!(ledger.begin(Id(0, 5)), "an older one that was taken over");
        let (due, _) = ledger.take_due(Duration::ZERO);
        assert!(!ledger.begin(second), "being acknowledged");
        ledger.give_back(due);
        assert!(!ledger.begin(second), "given back");
        let (due, _) = ledger.take_due(Duration::ZERO);
        ledger.acknowledged(&due);
        assert!(ledger.begin(second), "delivered again by the group");
        ledger.record(ids(2..3), &Outcome::Failed);
        assert!(ledger.begin(second), "failed");
    }

    #[test]
    fn delivered_entries_need_a_sign_of_life_only_when_they_are_old() {
        let ledger = Ledger::default();
        ids(1..4).into_iter().for_each(|id| assert!(ledger.begin(id)));
        ledger.record(ids(1..3), &Outcome::Delivered);
        assert_eq!(ledger.busy(Duration::from_secs(3600)), ids(3..4));
        assert_eq!(ledger.busy(Duration::ZERO).len(), 3);
    }
}
