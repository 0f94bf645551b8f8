//! The body of a request, and its idempotency key.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_sdk::json::one_line;
use tidegate_sdk::{Batch, Cx, Error};

use super::options::{Compress, Format};
use crate::joined;

/// Returns the body of a request with these events of `batch`. JSON events are well-formed.
pub(super) fn body(batch: &Batch, events: &[usize], format: Format) -> Bytes {
    if let (Format::Single, [event]) = (format, events) {
        return batch.shared_payload(*event);
    }
    let payloads = events.iter().map(|event| batch.payload(*event));
    let bytes = payloads.clone().map(<[u8]>::len).sum();
    match format {
        Format::JsonArray => joined::array(payloads, bytes),
        Format::JsonLines | Format::Single => joined::lines(payloads.map(one_line), bytes),
    }
}

/// Compresses the body if required, on the blocking pool, because it takes milliseconds.
pub(super) async fn compressed(body: Bytes, compress: Compress, cx: &Cx) -> Result<Bytes, Error> {
    let Some(coding) = compress.coding() else { return Ok(body) };
    match cx.spawn_blocking(move || coding.encode(&body)).await {
        Ok(Ok(compressed)) => Ok(compressed.into()),
        Ok(Err(error)) => Err(Error::fatal(format!("the body cannot be compressed: {error}"))),
        Err(error) => Err(Error::fatal(format!("the task that compresses the body ended: {error}"))),
    }
}

/// The idempotency keys of one sink.
#[derive(Debug)]
pub(super) struct Keys {
    /// A number for this run. A source without positions counts its batches from zero in each run, and never repeats
    /// those of an earlier run.
    run: u64,
    /// Keys of requests with an unknown outcome, oldest first.
    open: Mutex<VecDeque<String>>,
}

/// The largest number of open keys. There are no more of them than concurrent requests, unless batches are split
/// differently when they are retried.
const OPEN: usize = 4096;

impl Keys {
    pub(super) fn new() -> Self {
        Self { run: RandomState::new().hash_one(0), open: Mutex::default() }
    }

    /// Returns whether a request with this key was sent and its outcome is unknown.
    pub(super) fn is_open(&self, key: &str) -> bool {
        self.open.lock().iter().any(|open| open == key)
    }

    /// Records that the outcome of a request with this key is unknown.
    pub(super) fn open(&self, key: &str) {
        let mut open = self.open.lock();
        if open.iter().any(|known| known == key) {
            return;
        }
        if open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back(key.to_owned());
    }

    /// Forgets a key with a known outcome.
    pub(super) fn close(&self, key: &str) {
        self.open.lock().retain(|open| open != key);
    }

    /// Returns a key that is the same exactly if the same events are sent again. It is made of their origin and their
    /// payloads. The number of a batch differs after a restart, so its position is used if it has one.
    pub(super) fn key(&self, component: &str, batch: &Batch, events: &[usize]) -> String {
        let mut hasher = DefaultHasher::new();
        component.hash(&mut hasher);
        let mut run = usize::MAX;
        for event in events {
            if batch.run_of(*event) != run {
                run = batch.run_of(*event);
                let origin = &batch.runs()[run].origin;
                (&origin.source, &origin.partition).hash(&mut hasher);
                match &origin.position {
                    Some(position) => position.as_bytes().hash(&mut hasher),
                    None => (self.run, origin.sequence).hash(&mut hasher),
                }
            }
            batch.source_index(*event).hash(&mut hasher);
            batch.payload(*event).hash(&mut hasher);
        }
        // Two halves make collisions unlikely on servers that store keys of many clients for a long time.
        let first = hasher.finish();
        "second half".hash(&mut hasher);
        format!("{first:016x}{:016x}", hasher.finish())
    }
}
