//! A number of bytes that many may draw on together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit on the bytes that are held at one time, and how many are.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// The part of a [`Budget`] that one holder has; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Nothing yet of this budget.
    pub(crate) fn reserve(self: &Arc<Self>) -> Reserved {
        Reserved { budget: Arc::clone(self), bytes: 0 }
    }

    /// How many bytes are held now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reserved {
    /// Takes `bytes` more. False, and nothing taken, if that is over the limit.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let held = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = held.checked_add(bytes).is_some_and(|sum| sum <= self.budget.limit);
        match fits {
            true => self.bytes += bytes,
            false => drop(self.budget.used.fetch_sub(bytes, Ordering::Relaxed)),
        }
        fits
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_is_not_taken() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (budget.reserve(), budget.reserve());
        assert!(one.grow(6));
        assert!(!two.grow(5));
        assert!(two.grow(4));
        drop(one);
        assert_eq!(budget.used(), 4);
        assert!(two.grow(6));
    }
}
