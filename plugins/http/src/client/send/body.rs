//! What a request carries, and the key that tells a repeated one.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_sdk::json::one_line;
use tidegate_sdk::{Batch, Cx, Error};

use super::options::{Compress, Format};

/// The body of a request with these events of `batch`. JSON events are well-formed.
pub(super) fn body(batch: &Batch, events: &[usize], format: Format) -> Bytes {
    if let (Format::Single, [event]) = (format, events) {
        return batch.shared_payload(*event);
    }
    let length: usize = events.iter().map(|event| batch.payload(*event).len() + 1).sum();
    let mut body = Vec::with_capacity(length + 2);
    match format {
        Format::JsonArray => {
            for (index, event) in events.iter().enumerate() {
                body.push(if index == 0 { b'[' } else { b',' });
                body.extend_from_slice(batch.payload(*event));
            }
            body.push(b']');
        }
        Format::JsonLines | Format::Single => {
            for event in events {
                body.extend_from_slice(&one_line(batch.payload(*event)));
                body.push(b'\n');
            }
        }
    }
    body.into()
}

/// The body, compressed if that is asked for: off the async workers, for it takes milliseconds.
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
    /// Tells apart what was sent by different runs of a source that cannot go back: its batches are counted from
    /// zero again each time, and nothing of an earlier run is ever sent again.
    run: u64,
    /// Keys of requests whose outcome is not known, oldest first.
    open: Mutex<VecDeque<String>>,
}

/// The largest number of open keys that are remembered. There are no more than requests under way at once, unless their
/// batches are cut in another way when they are tried again.
const OPEN: usize = 4096;

impl Keys {
    pub(super) fn new() -> Self {
        Self { run: RandomState::new().hash_one(0), open: Mutex::default() }
    }

    /// Whether a request with this key was sent and its outcome is not known.
    pub(super) fn is_open(&self, key: &str) -> bool {
        self.open.lock().iter().any(|open| open == key)
    }

    /// Remembers that the outcome of a request with this key is not known.
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

    /// Forgets a key whose outcome is known.
    pub(super) fn close(&self, key: &str) {
        self.open.lock().retain(|open| open != key);
    }

    /// A key that is the same exactly if the same events are sent again: made of where they came from and of
    /// what they are. After a restart the source has another count of its batches, so where a batch has a
    /// position, that stands for it.
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
        // Two halves make it long enough for servers that keep keys of many clients for long.
        let first = hasher.finish();
        "second half".hash(&mut hasher);
        format!("{first:016x}{:016x}", hasher.finish())
    }
}
