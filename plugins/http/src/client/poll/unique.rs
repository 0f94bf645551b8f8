//! A bounded memory of values.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Remembers the hashes of recent values, at least `size` of them and at most twice as many. A value that keeps
/// occurring is never forgotten.
#[derive(Debug)]
pub(super) struct Unique {
    size: usize,
    hasher: RandomState,
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Unique {
    pub(super) fn new(size: usize) -> Self {
        Self { size, hasher: RandomState::new(), young: HashSet::new(), old: HashSet::new() }
    }

    /// Inserts a value. Returns whether it is new.
    pub(super) fn insert(&mut self, value: &[u8]) -> bool {
        let hash = self.hasher.hash_one(value);
        if self.young.contains(&hash) {
            return false;
        }
        let new = !self.old.contains(&hash);
        if self.young.len() >= self.size {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
        new
    }
}
