//! A cache of responses.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// The identity of a request: the URL, and the body if there is one.
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

/// A cached response: its body, or `None` for 404.
pub(super) type CachedResponse = Option<Bytes>;

/// Responses by request, bounded in number, bytes and age. When the cache is full, the half that was not used for
/// longest is dropped.
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
    responses: HashMap<Key, (CachedResponse, Instant)>,
    bytes: usize,
}

impl Cache {
    /// Makes a cache of at most `size` responses of `bytes` in all, each valid for `ttl`.
    pub(super) fn new(size: usize, bytes: usize, ttl: Duration) -> Self {
        Self {
            size: size.div_ceil(2),
            bytes: bytes / 2,
            ttl,
            young: Generation::default(),
            old: Generation::default(),
        }
    }

    /// Returns the response to this request, if it is cached and not too old.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<CachedResponse> {
        if let Some((kept, since)) = self.young.responses.get(key) {
            return (now.duration_since(*since) < self.ttl).then(|| kept.clone());
        }
        let (kept, since) = self.old.responses.get(key)?.clone();
        if now.duration_since(since) >= self.ttl {
            return None;
        }
        self.insert(key.clone(), kept.clone(), since);
        Some(kept)
    }

    /// Caches a response that arrived at `since`, unless it is large in relation to the cache.
    pub(super) fn insert(&mut self, key: Key, kept: CachedResponse, since: Instant) {
        let cost = key.cost() + kept.as_ref().map_or(0, Bytes::len);
        if cost > self.bytes {
            return;
        }
        if self.young.responses.len() >= self.size || self.young.bytes + cost > self.bytes {
            self.old = std::mem::take(&mut self.young);
        }
        // A copy, because the response may be a part of a larger buffer.
        let kept = kept.map(|body| Bytes::copy_from_slice(&body));
        let key = Key { body: key.body.map(|body| Bytes::copy_from_slice(&body)), ..key };
        self.young.bytes += cost;
        self.young.responses.insert(key, (kept, since));
    }
}
