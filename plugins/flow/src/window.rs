//! The keys that were seen lately.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::key::BuildAsIs;

/// Remembers the keys (as hashes) of the last new events, up to a number and an age. It has no clock: each call
/// passes the time, which never goes back.
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

    /// Adds `key` at the time `now`. True if it is new. A repeat does not prolong its time.
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

    /// The known keys with their times, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (u128, Duration)> {
        self.order.iter().rev().copied()
    }

    /// The limit of known keys.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Replaces all keys by these, the newest first, as [`newest`](Self::newest) returns them.
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
