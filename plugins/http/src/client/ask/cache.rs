//! Answers that are kept for a while.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What makes two questions the same: the URL, and the body if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) url: Arc<str>,
    pub(super) body: Option<Bytes>,
}

impl Key {
    fn cost(&self) -> usize {
        self.url.len() + self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// A kept answer: its body, or that there is none for this question.
pub(super) type Kept = Option<Bytes>;

/// Answers by question, bounded in number, in bytes and in age. When it is full, the half that was not used
/// for longest goes.
#[derive(Debug)]
pub(super) struct Cache {
    size: usize,
    bytes: usize,
    ttl: Duration,
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    answers: HashMap<Key, (Kept, Instant)>,
    bytes: usize,
}

impl Cache {
    /// At most `size` answers of `bytes` in all, each for `ttl`.
    pub(super) fn new(size: usize, bytes: usize, ttl: Duration) -> Self {
        Self {
            size: size.div_ceil(2),
            bytes: bytes / 2,
            ttl,
            young: Generation::default(),
            old: Generation::default(),
        }
    }

    /// The answer to this question, if it is kept and not too old.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Kept> {
        if let Some((kept, since)) = self.young.answers.get(key) {
            return (now.duration_since(*since) < self.ttl).then(|| kept.clone());
        }
        let (kept, since) = self.old.answers.get(key)?.clone();
        if now.duration_since(since) >= self.ttl {
            return None;
        }
        self.insert(key.clone(), kept.clone(), since);
        Some(kept)
    }

    /// Keeps an answer that came at `since`. One that is large against the whole is not kept.
    pub(super) fn insert(&mut self, key: Key, kept: Kept, since: Instant) {
        let cost = key.cost() + kept.as_ref().map_or(0, Bytes::len);
        if cost > self.bytes {
            return;
        }
        if self.young.answers.len() >= self.size || self.young.bytes + cost > self.bytes {
            self.old = std::mem::take(&mut self.young);
        }
        // The answer may share a larger buffer, which must not be held on to.
        let kept = kept.map(|body| Bytes::copy_from_slice(&body));
        let key = Key { body: key.body.map(|body| Bytes::copy_from_slice(&body)), ..key };
        self.young.bytes += cost;
        self.young.answers.insert(key, (kept, since));
    }
}
