//! A bounded memory of what was seen.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Remembers the last values that it was shown, at least `size` of them and at most twice as many, by their
/// hashes. A value that keeps coming is never forgotten.
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

    /// Whether `value` is new, and remembers it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_ones_within_bounds() {
        let mut unique = Unique::new(10);
        for number in 0..1000_u32 {
            assert!(unique.insert(&number.to_be_bytes()));
            assert!(unique.young.len() + unique.old.len() <= 20);
            for before in number.saturating_sub(9)..=number {
                let kept = unique
                    .young
                    .iter()
                    .chain(&unique.old)
                    .any(|hash| *hash == unique.hasher.hash_one(before.to_be_bytes().as_slice()));
                assert!(kept, "{before} is among the last ten at {number}");
            }
        }
        assert!(unique.insert(&0_u32.to_be_bytes()), "what is long gone is new");
    }

    #[test]
    fn what_keeps_coming_is_never_forgotten() {
        let mut unique = Unique::new(10);
        unique.insert(b"again");
        for number in 0..1000_u32 {
            unique.insert(&number.to_be_bytes());
            if number % 9 == 0 {
                assert!(!unique.insert(b"again"), "at {number}");
            }
        }
    }
}
