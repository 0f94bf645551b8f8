//! Where a request that waits and the results that a pipeline makes of it find each other.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::budget::{Budget, Reserved};

/// The attribute by which `http_response` knows the request that an event is from.
pub(crate) const REQUEST: &str = "http_request";

/// The requests that wait for a result, by number. Each is here for as long as its [`Ticket`] lives, so
/// there are no more of them than the servers allow connections.
#[derive(Debug)]
pub(crate) struct Exchange {
    waiting: Mutex<HashMap<i64, Arc<Results>>>,
    next: AtomicU64,
}

/// A request's place in the [`Exchange`]. Dropping it gives the place up: what still comes is nobody's.
#[derive(Debug)]
pub(crate) struct Ticket {
    exchange: Arc<Exchange>,
    id: i64,
    results: Arc<Results>,
}

/// How the results of a request are written into one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One event: its one result, nothing if there is none, an array if there are several.
    Single,
    /// A JSON array of all.
    Array,
    /// JSON lines.
    JsonLines,
    /// Lines of text.
    Lines,
}

/// How `http_response` wants its answers.
#[derive(Debug)]
pub(crate) struct Style {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) headers: HeaderMap,
}

/// What the answer to a request is made of.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// How the sink wants it; `None` if nothing came to the sink.
    pub(crate) style: Option<Arc<Style>>,
    /// What the body is, unless the sink says otherwise.
    pub(crate) content_type: &'static str,
    /// `None` if the answer has no content.
    pub(crate) body: Option<Bytes>,
}

/// The results of one request are more than may be held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The results of one request so far.
#[derive(Debug)]
pub(crate) struct Results(Mutex<Held>);

#[derive(Debug)]
struct Held {
    made: Vec<Made>,
    /// The identity of each result in `made`, filled when a second write comes.
    known: HashSet<Identity>,
    limit: usize,
    bytes: usize,
    reserved: Reserved,
    too_large: bool,
    style: Option<Arc<Style>>,
}

/// One result, and the place in the request of the event that it was made of.
#[derive(Debug)]
pub(crate) struct Made {
    /// The number of the source batch, then the event's index in it.
    pub(crate) place: (u64, u32),
    /// The result.
    pub(crate) payload: Bytes,
}

/// What a repeated write has in common with the first: the event, and the bytes in memory. The bytes are
/// held, so no other result can lie where they do.
type Identity = ((u64, u32), usize, usize);

impl Exchange {
    /// An exchange with nobody waiting. Its numbers start anywhere, so that one from an earlier run (in a
    /// dead letter that is replayed) does not mean a request of this run.
    pub(crate) fn new() -> Arc<Self> {
        let start = RandomState::new().hash_one("tidegate");
        Arc::new(Self { waiting: Mutex::default(), next: AtomicU64::new(start) })
    }

    /// A place for a request whose results may be `limit` bytes, and are counted against `budget`.
    pub(crate) fn open(self: &Arc<Self>, limit: usize, budget: &Arc<Budget>) -> Ticket {
        let id = (self.next.fetch_add(1, Ordering::Relaxed) & i64::MAX as u64) as i64;
        let held = Held {
            made: Vec::new(),
            known: HashSet::new(),
            limit,
            bytes: 0,
            reserved: budget.reserve(),
            too_large: false,
            style: None,
        };
        let results = Arc::new(Results(Mutex::new(held)));
        self.waiting.lock().insert(id, Arc::clone(&results));
        Ticket { exchange: Arc::clone(self), id, results }
    }

    /// The results of a request, if it still waits.
    pub(crate) fn get(&self, id: i64) -> Option<Arc<Results>> {
        self.waiting.lock().get(&id).cloned()
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl Ticket {
    /// The number by which [`Exchange::get`] finds the results.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Takes what has come, as one answer.
    pub(crate) fn render(&self, shape: Shape) -> Result<Rendered, TooLarge> {
        let mut held = self.results.0.lock();
        if held.too_large {
            return Err(TooLarge);
        }
        let mut made = std::mem::take(&mut held.made);
        made.sort_by_key(|one| one.place);
        let (content_type, body) = match shape {
            Shape::Single if made.is_empty() => (JSON, None),
            Shape::Single if made.len() == 1 => (JSON, made.pop().map(|one| one.payload)),
            Shape::Single | Shape::Array => (JSON, Some(joined(&made, held.bytes, b"[", b",", b"]"))),
            Shape::JsonLines if made.is_empty() => (JSON_LINES, None),
            Shape::Lines if made.is_empty() => (TEXT, None),
            Shape::JsonLines => (JSON_LINES, Some(joined(&made, held.bytes, b"", b"\n", b"\n"))),
            Shape::Lines => (TEXT, Some(joined(&made, held.bytes, b"", b"\n", b"\n"))),
        };
        Ok(Rendered { style: held.style.take(), content_type, body })
    }
}

const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";

impl Drop for Ticket {
    fn drop(&mut self) {
        self.exchange.waiting.lock().remove(&self.id);
    }
}

impl Results {
    /// Adds what one write to the sink brought. A write that comes again brings the same bytes for the same
    /// events: those are known, and not added twice.
    pub(crate) fn add(&self, made: impl Iterator<Item = Made>, style: &Arc<Style>) {
        let mut held = self.0.lock();
        let held = &mut *held;
        if held.style.is_none() {
            held.style = Some(Arc::clone(style));
        }
        let first = held.made.is_empty();
        if !first && held.known.is_empty() {
            held.known.extend(held.made.iter().map(Made::identity));
        }
        let start = held.made.len();
        for one in made {
            if held.too_large {
                return;
            }
            if first || !held.known.contains(&one.identity()) {
                held.push(one);
            }
        }
        if !first {
            held.known.extend(held.made.get(start..).unwrap_or_default().iter().map(Made::identity));
        }
    }
}

impl Held {
    fn push(&mut self, one: Made) {
        let cost = one.payload.len() + size_of::<Made>();
        self.bytes += one.payload.len();
        if self.bytes > self.limit || !self.reserved.grow(cost) {
            self.too_large = true;
            self.made = Vec::new();
            self.known = HashSet::new();
        } else {
            self.made.push(one);
        }
    }
}

impl Made {
    fn identity(&self) -> Identity {
        (self.place, self.payload.as_ptr() as usize, self.payload.len())
    }
}

/// The payloads in one buffer.
fn joined(made: &[Made], bytes: usize, start: &[u8], between: &[u8], end: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(bytes + made.len() + 2);
    body.put_slice(start);
    for (index, one) in made.iter().enumerate() {
        if index > 0 {
            body.put_slice(between);
        }
        body.put_slice(&one.payload);
    }
    body.put_slice(end);
    body.freeze()
}

#[cfg(test)]
mod tests;
