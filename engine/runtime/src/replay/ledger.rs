//! Ledger of a replay: the outcome of each dead letter.
//!
//! A dead letter is removed when everything that was made of its event is safe: delivered, or kept as other dead letters. If
//! the component that rejected the event rejects it again, the dead letter stays, under its number.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tidegate_sdk::Outcome;
use tokio::sync::Notify;

use crate::dead_letters::dead_letter::DeadLetter;
use crate::dead_letters::index::DeadLetterIndex;
use crate::dead_letters::store::SharedStore;

/// Ledger of one replay.
pub(crate) struct ReplayLedger {
    pub(super) dead_letters: DeadLetterIndex,
    store: SharedStore,
    state: Mutex<State>,
    /// Wakes the task that stores outcomes.
    pub(super) has_ended: Notify,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    /// Dead letters to remove.
    gone: Vec<u64>,
    /// Rejected again without a new dead letter: to be kept with the new reason.
    refused: Vec<(u64, String)>,
    counts: ReplayCounts,
}

struct Entry {
    /// The component that rejected it.
    component: String,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not sent yet, or in flight.
    Open,
    /// Rejected by the same component, and kept under its number.
    KeptAgain,
    /// Another component rejected an event that was made of it, which is a dead letter of its own.
    KeptElsewhere,
    Ended,
}

/// Number of replayed dead letters by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Delivered, and removed.
    pub delivered: u64,
    /// Rejected again, and kept.
    pub rejected: u64,
}

impl ReplayLedger {
    /// Creates a ledger of these dead letters, each with the component that rejected it.
    pub(crate) fn new(
        dead_letters: DeadLetterIndex,
        store: SharedStore,
        replayed: &[(u64, String)],
    ) -> Arc<Self> {
        let entry =
            |(id, component): &(u64, String)| (*id, Entry { component: component.clone(), fate: Fate::Open });
        let state = State { entries: replayed.iter().map(entry).collect(), ..State::default() };
        Arc::new(Self { dead_letters, store, state: Mutex::new(state), has_ended: Notify::new() })
    }

    /// Numbers of the dead letters of `component` that have not ended.
    pub(crate) fn open(&self, component: &str) -> Vec<u64> {
        let state = self.state();
        let open = state.entries.iter().filter(|(_, entry)| {
            entry.component == component && matches!(entry.fate, Fate::Open | Fate::KeptElsewhere)
        });
        open.map(|(id, _)| *id).collect()
    }

    /// Number of dead letters that have ended, by outcome.
    pub(crate) fn counts(&self) -> ReplayCounts {
        self.state().counts
    }

    /// Gives new dead letters the origin of the replayed ones that they come from.
    pub(crate) fn recognise(&self, dead_letters: &mut [DeadLetter]) {
        let mut state = self.state();
        for dead_letter in dead_letters {
            // The partition is the number of the replayed dead letter: `source::DeadLetterSource` sets it.
            let Ok(id) = dead_letter.partition.parse() else { continue };
            let Some(entry) = state.entries.get_mut(&id) else { continue };
            let Ok(Some(first)) = self.dead_letters.get(id) else { continue };
            dead_letter.source = first.source;
            dead_letter.partition = first.partition;
            dead_letter.sequence = first.sequence;
            dead_letter.index = first.index;
            if dead_letter.component == entry.component {
                // It is the whole event, so it replaces the old one at once.
                dead_letter.id = id;
                dead_letter.attempts = dead_letter.attempts.saturating_add(first.attempts);
                entry.fate = Fate::KeptAgain;
            } else if entry.fate == Fate::Open {
                entry.fate = Fate::KeptElsewhere;
            }
        }
    }

    /// Records the outcome of a dead letter: everything that was made of its event has ended.
    pub(crate) fn ended(&self, id: u64, outcome: Outcome) {
        let mut state = self.state();
        let State { entries, gone, refused, counts } = &mut *state;
        let Some(entry) = entries.get_mut(&id) else { return };
        let fate = entry.fate;
        match outcome {
            Outcome::Failed => return,
            Outcome::Delivered => {
                counts.delivered += 1;
                gone.push(id);
            }
            Outcome::Rejected(reason) => {
                counts.rejected += 1;
                match fate {
                    Fate::Open => refused.push((id, reason)),
                    Fate::KeptElsewhere => gone.push(id),
                    Fate::KeptAgain | Fate::Ended => {}
                }
            }
        }
        entry.fate = Fate::Ended;
        drop(state);
        self.has_ended.notify_one();
    }

    /// Stores the outcomes. Blocks. After an error they are still to be stored.
    pub(crate) fn write(&self) -> io::Result<()> {
        let (gone, refused) = {
            let mut state = self.state();
            (std::mem::take(&mut state.gone), std::mem::take(&mut state.refused))
        };
        let written = self.renewed(&refused).and_then(|mut renewed| {
            let mut store = self.store.lock();
            if !renewed.is_empty() {
                store.append(&mut renewed)?;
            }
            store.remove(&gone)
        });
        if written.is_err() {
            let mut state = self.state();
            state.gone.extend(gone);
            state.refused.extend(refused);
        }
        written
    }

    /// Dead letters that were rejected again, with the new reason.
    fn renewed(&self, refused: &[(u64, String)]) -> io::Result<Vec<DeadLetter>> {
        let mut renewed = Vec::new();
        for (id, reason) in refused {
            if let Some(dead_letter) = self.dead_letters.get(*id)? {
                let attempts = dead_letter.attempts.saturating_add(1);
                renewed.push(DeadLetter { reason: reason.clone(), attempts, ..dead_letter });
            }
        }
        Ok(renewed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
