//! Which keys were seen lately.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::key::BuildAsIs;

/// Remembers the keys (as hashes) of the last so many events that were new, for at most so long. Knows no
/// clock: it is told the time, which may stand still and never goes back.
#[derive(Debug)]
pub(crate) struct Window {
    events: usize,
    within: Option<Duration>,
    known: HashSet<u128, BuildAsIs>,
    /// The same keys in the order in which they came, with their times.
    order: VecDeque<(u128, Duration)>,
}

impl Window {
    pub(crate) fn new(events: usize, within: Option<Duration>) -> Self {
        Self { events, within, known: HashSet::default(), order: VecDeque::new() }
    }

    /// Whether `key` is new at the time `now`. If so, it is known from then on. A repeat does not prolong it.
    pub(crate) fn admit(&mut self, key: u128, now: Duration) -> bool {
        self.forget_until(now);
        if !self.known.insert(key) {
            return false;
        }
        if self.order.len() == self.events {
            self.forget_oldest();
        }
        self.order.push_back((key, now));
        true
    }

    /// The keys that are known with their times, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (u128, Duration)> {
        self.order.iter().rev().copied()
    }

    /// The most keys that are known.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Knows these keys and no others: the newest first, as [`newest`](Self::newest) tells them.
    pub(crate) fn know(&mut self, newest: &[(u128, Duration)]) {
        (self.known, self.order) = (HashSet::default(), VecDeque::new());
        for (key, seen) in newest.iter().take(self.events).rev() {
            if self.known.insert(*key) {
                self.order.push_back((*key, *seen));
            }
        }
    }

    fn forget_until(&mut self, now: Duration) {
        let Some(within) = self.within else { return };
        while self.order.front().is_some_and(|(_, seen)| now.saturating_sub(*seen) >= within) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((key, _)) = self.order.pop_front() {
            self.known.remove(&key);
        }
    }
}
