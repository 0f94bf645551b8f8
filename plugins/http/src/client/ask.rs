//! The filter `http`: asks a server about each event.

mod cache;
mod options;
mod place;
mod round;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tidegate_sdk::{AsyncFilter, Attributes, Batch, ConfigError, Cx, Error, Output, Plugin, async_trait};

use self::cache::{Cache, Kept, Key};
use self::options::{AskBody, AskOptions, Missing, OnError};
use self::place::Place;
use self::round::Known;
use super::Caller;
use super::address::Address;
use super::caller::Question;
use super::options::AskMethod;

const SAMPLE: &str = r#"[filter.with_user]
plugin = "http"
url = "https://api.example.com/users/{.user_id}"
auth = { bearer = "${API_TOKEN}" }
into = "user"
cache = { size = 10000, ttl = "5m" }
"#;

/// The attribute that tells why an event was not processed, with `on_error = "pass"`.
const ERROR: &str = "http_error";
/// The attribute with the status of the answer to such an event, if there was one.
const STATUS: &str = "http_status";

pub(super) fn plugin() -> Plugin {
    let summary = "asks a server about each event, and puts the answer into it";
    Plugin::async_filter("http", summary, SAMPLE, Ask::new)
}

/// Asks a server about each event. Several instances may be at work, each at a batch of its own.
struct Ask {
    shared: Arc<Shared>,
    /// A batch that is to be tried again, with what is known of it.
    kept: Option<(Batch, Known)>,
}

/// What all instances of one filter have in common.
struct Shared {
    caller: Arc<Caller>,
    address: Address,
    method: Method,
    headers: HeaderMap,
    sends_event: bool,
    place: Place,
    on_error: OnError,
    parallel: usize,
    cache: Option<Mutex<Cache>>,
}

/// What is known about one event.
#[derive(Clone, Debug)]
enum Found {
    Answer(Bytes),
    Missing,
    /// It cannot be processed: the reason, and the status of the answer if there was one.
    Rejected {
        reason: String,
        status: Option<u16>,
    },
}

impl Found {
    fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), status: None }
    }
}

impl From<Kept> for Found {
    fn from(kept: Kept) -> Self {
        kept.map_or(Self::Missing, Self::Answer)
    }
}

impl Ask {
    fn new(options: AskOptions) -> Result<Self, ConfigError> {
        let place = Place::new(&options)?;
        let sends_event = options.body == AskBody::Event;
        let method = match (options.method, sends_event) {
            (Some(method), _) => method.into(),
            (None, true) => AskMethod::Post.into(),
            (None, false) => AskMethod::Get.into(),
        };
        if options.parallel == 0 {
            return Err(ConfigError::at("/parallel", "at least 1").help("leave it out for the default of 8"));
        }
        let mut headers = HeaderMap::new();
        if sends_event {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let cache = options.cache.map(|cache| Cache::new(cache.size, cache.bytes.as_usize(), cache.ttl.0));
        let shared = Shared {
            caller: Arc::new(Caller::new(&options.exchange, &method)?),
            address: Address::new(options.url, options.exchange.query_pairs())?,
            method,
            headers,
            sends_event,
            place,
            on_error: options.on_error,
            parallel: options.parallel,
            cache: cache.map(Mutex::new),
        };
        Ok(Self { shared: Arc::new(shared), kept: None })
    }
}

impl Shared {
    fn question(&self, batch: &Batch, event: usize) -> Result<(Key, Question), String> {
        let url = self.address.render(batch.payload(event))?.into_owned();
        let body = self.sends_event.then(|| batch.shared_payload(event));
        let key = Key { url: url.as_str().into(), body: body.clone() };
        let question = Question { method: self.method.clone(), url, headers: self.headers.clone(), body };
        Ok((key, question))
    }

    fn cached(&self, key: &Key) -> Option<Kept> {
        self.cache.as_ref()?.lock().get(key, Instant::now())
    }

    fn keep(&self, key: Key, found: &Found) {
        let Some(cache) = &self.cache else { return };
        let kept = match found {
            Found::Answer(body) => Some(body.clone()),
            Found::Missing => None,
            Found::Rejected { .. } => return,
        };
        cache.lock().insert(key, kept, Instant::now());
    }

    fn put_out(&self, batch: &Batch, known: Known, out: &mut Output) {
        let mut builder = batch.derive();
        for (event, found) in known.found.into_iter().enumerate() {
            let refused = match found {
                Some(Found::Answer(answer)) => {
                    let put = self.place.put(&mut builder, event, batch.payload(event), &answer);
                    put.err().map(|reason| (reason, None))
                }
                Some(Found::Missing) if self.place.missing == Missing::Pass => {
                    builder.keep(event);
                    None
                }
                Some(Found::Missing) | None => {
                    let reason = format!("{} has nothing about this event (404)", self.address.shown());
                    Some((reason, Some(StatusCode::NOT_FOUND.as_u16())))
                }
                Some(Found::Rejected { reason, status }) => Some((reason, status)),
            };
            match refused {
                Some((reason, _)) if self.on_error == OnError::Reject => out.reject(event, reason),
                Some((reason, status)) => {
                    builder.keep(event);
                    builder.attributes(Arc::new(with_error(batch.own_attributes(event), reason, status)));
                }
                None => {}
            }
        }
        out.emit(builder.finish());
    }
}

/// The attributes of an event that goes on although something was wrong.
fn with_error(own: Option<&Arc<Attributes>>, reason: String, status: Option<u16>) -> Attributes {
    let mut attributes = own.map(|own| Attributes::clone(own)).unwrap_or_default();
    attributes.set(ERROR, reason);
    if let Some(status) = status {
        attributes.set(STATUS, i64::from(status));
    }
    attributes
}

/// Whether both are the same batch, not only equal ones.
fn is_same(left: &Batch, right: &Batch) -> bool {
    std::ptr::eq(left.spans(), right.spans())
}

#[async_trait]
impl AsyncFilter for Ask {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.shared.caller.open()
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut known = match self.kept.take() {
            Some((kept, known)) if is_same(&kept, batch) => known,
            _ => Known::new(batch.len()),
        };
        let asked = tokio::select! {
            asked = self.shared.find(batch, &mut known, out.attempt(), cx) => asked,
            // The requests under way are dropped, and with each of them its connection.
            () = batch.cancelled() => return Err(Error::retry("nobody waits for the answer any more")),
        };
        if let Err(error) = asked {
            self.kept = Some((batch.clone(), known));
            return Err(error);
        }
        self.shared.put_out(batch, known, out);
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(Self { shared: Arc::clone(&self.shared), kept: None }))
    }

    /// Questions under way at once, whether they are about events of one batch or of several.
    fn at_once(&self) -> usize {
        self.shared.parallel
    }
}
