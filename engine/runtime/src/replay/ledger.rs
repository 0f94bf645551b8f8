//! What becomes of the letters that are being replayed.
//!
//! A letter goes when everything that came of its event is safe: delivered, or kept as other letters. One that
//! is rejected again by the component that had refused it stays, under its number.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_sdk::Outcome;
use tokio::sync::Notify;

use crate::dead_letters::index::DeadLetterIndex;
use crate::dead_letters::letter::DeadLetter;
use crate::dead_letters::store::SharedStore;

/// The letters of one replay.
pub(crate) struct ReplayLedger {
    pub(super) letters: DeadLetterIndex,
    store: SharedStore,
    state: Mutex<State>,
    /// Told when a letter has settled.
    pub(super) settled: Notify,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    /// Settled, and to be removed.
    gone: Vec<u64>,
    /// Settled as rejected by somebody who kept nothing: to be kept with the new reason.
    refused: Vec<(u64, String)>,
    counts: ReplayCounts,
}

struct Entry {
    /// The component that refused it.
    component: String,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was not sent on its way yet, or is on it.
    Open,
    /// The component has rejected it again, and it is kept under its number.
    KeptAgain,
    /// Another component has rejected something that came of it, which is kept as a letter of its own.
    KeptElsewhere,
    Settled,
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
    /// A ledger of these letters, each with the component that refused it.
    pub(crate) fn new(letters: DeadLetterIndex, store: SharedStore, replayed: &[(u64, String)]) -> Arc<Self> {
        let entry =
            |(id, component): &(u64, String)| (*id, Entry { component: component.clone(), fate: Fate::Open });
        let state = State { entries: replayed.iter().map(entry).collect(), ..State::default() };
        Arc::new(Self { letters, store, state: Mutex::new(state), settled: Notify::new() })
    }

    /// The numbers of the letters that `component` had refused and that have not settled.
    pub(crate) fn open(&self, component: &str) -> Vec<u64> {
        let state = self.state();
        let open = state.entries.iter().filter(|(_, entry)| {
            entry.component == component && matches!(entry.fate, Fate::Open | Fate::KeptElsewhere)
        });
        open.map(|(id, _)| *id).collect()
    }

    /// How letters ended so far.
    pub(crate) fn counts(&self) -> ReplayCounts {
        self.state().counts
    }

    /// Gives new letters the place that their events have in the input, which the letters have that are replayed.
    pub(crate) fn recognise(&self, letters: &mut [DeadLetter]) {
        let mut state = self.state();
        for letter in letters {
            // The partition is the number of the letter that the event was: `source::LetterSource` sets it.
            let Ok(id) = letter.partition.parse() else { continue };
            let Some(entry) = state.entries.get_mut(&id) else { continue };
            let Ok(Some(first)) = self.letters.get(id) else { continue };
            letter.source = first.source;
            letter.partition = first.partition;
            letter.sequence = first.sequence;
            letter.index = first.index;
            if letter.component == entry.component {
                // It is the whole event, so it may take its place at once.
                letter.id = id;
                letter.attempts = letter.attempts.saturating_add(first.attempts);
                entry.fate = Fate::KeptAgain;
            } else if entry.fate == Fate::Open {
                entry.fate = Fate::KeptElsewhere;
            }
        }
    }

    /// The event of a letter, and all that came of it, has ended.
    pub(crate) fn settle(&self, id: u64, outcome: Outcome) {
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
                    Fate::KeptAgain | Fate::Settled => {}
                }
            }
        }
        entry.fate = Fate::Settled;
        drop(state);
        self.settled.notify_one();
    }

    /// Writes down what has settled. Blocks. After an error it is still to be written.
    pub(crate) fn write(&self) -> io::Result<()> {
        let (gone, refused) = {
            let mut state = self.state();
            (std::mem::take(&mut state.gone), std::mem::take(&mut state.refused))
        };
        let written = self.renewed(&refused).and_then(|mut renewed| {
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            match renewed.is_empty() {
                true => store.remove(&gone),
                false => store.append(&mut renewed).and_then(|()| store.remove(&gone)),
            }
        });
        if written.is_err() {
            let mut state = self.state();
            state.gone.extend(gone);
            state.refused.extend(refused);
        }
        written
    }

    /// Letters that were refused once more, with the new reason.
    fn renewed(&self, refused: &[(u64, String)]) -> io::Result<Vec<DeadLetter>> {
        let mut renewed = Vec::new();
        for (id, reason) in refused {
            if let Some(letter) = self.letters.get(*id)? {
                let attempts = letter.attempts.saturating_add(1);
                renewed.push(DeadLetter { reason: reason.clone(), attempts, ..letter });
            }
        }
        Ok(renewed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
