//! Requests that wait for a result, and the results that a pipeline makes of them.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::budget::{ByteBudget, Reservation};
use crate::joined;

/// The attribute that tells `http_response` the request of an event.
pub(crate) const REQUEST: &str = "http_request";

/// The requests that wait for a result, by number. A request stays as long as its [`PendingRequest`] lives, so there
/// are at most as many as the servers allow connections.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    waiting: Mutex<HashMap<i64, Arc<CollectedResults>>>,
    next: AtomicU64,
}

/// The registration of a request in [`PendingRequests`]. Results that arrive after it is dropped are discarded.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pending_requests: Arc<PendingRequests>,
    id: i64,
    results: Arc<CollectedResults>,
}

/// The format in which the results of a request become one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultFormat {
    /// The one result of one event; no body if there is none, an array if there are several.
    Single,
    /// A JSON array.
    Array,
    /// JSON lines.
    JsonLines,
    /// Lines of text.
    Lines,
}

/// The status and headers that `http_response` sets.
#[derive(Debug)]
pub(crate) struct ResponseStyle {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) headers: HeaderMap,
}

/// The parts of a response.
#[derive(Debug)]
pub(crate) struct RenderedResults {
    /// The status and headers of the sink; `None` if no result reached the sink.
    pub(crate) style: Option<Arc<ResponseStyle>>,
    /// The content type, unless the sink sets one.
    pub(crate) content_type: &'static str,
    /// `None` if the response has no content.
    pub(crate) body: Option<Bytes>,
}

/// The results of one request exceed the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The results of one request that have arrived.
#[derive(Debug)]
pub(crate) struct CollectedResults(Mutex<Collected>);

#[derive(Debug)]
struct Collected {
    results: Vec<ResultEvent>,
    /// The identity of each result in `results`; filled by the second write.
    known: HashSet<Identity>,
    limit: usize,
    bytes: usize,
    reserved: Reservation,
    too_large: bool,
    style: Option<Arc<ResponseStyle>>,
}

/// A result, and the position in the request of the event that it was made of.
#[derive(Debug)]
pub(crate) struct ResultEvent {
    /// The number of the source batch, then the event's index in it.
    pub(crate) position: (u64, u32),
    /// The result.
    pub(crate) payload: Bytes,
}

/// The identity of a result: the event, and the bytes in memory. A repeated write has the same. The bytes are held, so
/// no other result can have their address.
type Identity = ((u64, u32), usize, usize);

impl PendingRequests {
    /// Makes an empty registry. Its numbers start at random, so that the number in a replayed dead letter of an earlier
    /// run matches no request of this run.
    pub(crate) fn new() -> Arc<Self> {
        let start = RandomState::new().hash_one("tidegate");
        Arc::new(Self { waiting: Mutex::default(), next: AtomicU64::new(start) })
    }

    /// Registers a request. Its results may take `limit` bytes, which are reserved from `budget`.
    pub(crate) fn open(self: &Arc<Self>, limit: usize, budget: &Arc<ByteBudget>) -> PendingRequest {
        let id = (self.next.fetch_add(1, Ordering::Relaxed) & i64::MAX as u64) as i64;
        let collected = Collected {
            results: Vec::new(),
            known: HashSet::new(),
            limit,
            bytes: 0,
            reserved: budget.reserve(),
            too_large: false,
            style: None,
        };
        let results = Arc::new(CollectedResults(Mutex::new(collected)));
        self.waiting.lock().insert(id, Arc::clone(&results));
        PendingRequest { pending_requests: Arc::clone(self), id, results }
    }

    /// Returns the results of a request, if it still waits.
    pub(crate) fn get(&self, id: i64) -> Option<Arc<CollectedResults>> {
        self.waiting.lock().get(&id).cloned()
    }

    /// Returns the number of requests that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl PendingRequest {
    /// Returns the number for [`PendingRequests::get`].
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Takes the results as one response.
    pub(crate) fn render(&self, format: ResultFormat) -> Result<RenderedResults, TooLarge> {
        let mut collected = self.results.0.lock();
        if collected.too_large {
            return Err(TooLarge);
        }
        let mut results = std::mem::take(&mut collected.results);
        results.sort_by_key(|one| one.position);
        if format == ResultFormat::Single && results.len() == 1 {
            let body = results.pop().map(|one| one.payload);
            return Ok(RenderedResults { style: collected.style.take(), content_type: JSON, body });
        }
        let payloads = results.iter().map(|one| &one.payload);
        let (content_type, body) = match format {
            ResultFormat::Single if results.is_empty() => (JSON, None),
            ResultFormat::Single | ResultFormat::Array => {
                (JSON, Some(joined::array(payloads, collected.bytes)))
            }
            ResultFormat::JsonLines if results.is_empty() => (JSON_LINES, None),
            ResultFormat::Lines if results.is_empty() => (TEXT, None),
            ResultFormat::JsonLines => (JSON_LINES, Some(joined::lines(payloads, collected.bytes))),
            ResultFormat::Lines => (TEXT, Some(joined::lines(payloads, collected.bytes))),
        };
        Ok(RenderedResults { style: collected.style.take(), content_type, body })
    }
}

const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.pending_requests.waiting.lock().remove(&self.id);
    }
}

impl CollectedResults {
    /// Adds the results of one write to the sink. A repeated write brings the same bytes for the same events; these are
    /// not added twice.
    pub(crate) fn add(&self, results: impl Iterator<Item = ResultEvent>, style: &Arc<ResponseStyle>) {
        let mut collected = self.0.lock();
        let collected = &mut *collected;
        if collected.style.is_none() {
            collected.style = Some(Arc::clone(style));
        }
        let first = collected.results.is_empty();
        if !first && collected.known.is_empty() {
            collected.known.extend(collected.results.iter().map(ResultEvent::identity));
        }
        let start = collected.results.len();
        for one in results {
            if collected.too_large {
                return;
            }
            if first || !collected.known.contains(&one.identity()) {
                collected.push(one);
            }
        }
        if !first {
            collected
                .known
                .extend(collected.results.get(start..).unwrap_or_default().iter().map(ResultEvent::identity));
        }
    }
}

impl Collected {
    fn push(&mut self, one: ResultEvent) {
        let cost = one.payload.len() + size_of::<ResultEvent>();
        self.bytes += one.payload.len();
        if self.bytes > self.limit || !self.reserved.grow(cost) {
            self.too_large = true;
            self.results = Vec::new();
            self.known = HashSet::new();
        } else {
            self.results.push(one);
        }
    }
}

impl ResultEvent {
    fn identity(&self) -> Identity {
        (self.position, self.payload.as_ptr() as usize, self.payload.len())
    }
}

#[cfg(test)]
mod tests;
