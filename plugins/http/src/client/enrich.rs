//! The filter `http`: sends a request for each event, and puts the response into it.

mod cache;
mod members;
mod options;
mod placement;
mod round;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tidegate_sdk::{
    AsyncFilter, Attributes, Batch, ConfigError, ConfigErrors, Cx, Error, Output, Plugin, async_trait,
};

use self::cache::{Cache, CachedResponse, Key};
use self::options::{EnrichBody, EnrichOptions, Missing, OnError};
use self::placement::Placement;
use self::round::BatchState;
use super::HttpClient;
use super::http_client::Request;
use super::options::RequestMethod;
use super::url_template::UrlTemplate;

const SAMPLE: &str = r#"[filter.with_user]
plugin = "http"
url = "https://api.example.com/users/{.user_id}"
auth = { bearer = "${API_TOKEN}" }
into = "user"
cache = { size = 10000, ttl = "5m" }
"#;

/// The attribute with the reason why an event was not processed, for `on_error = "pass"`.
const ERROR: &str = "http_error";
/// The attribute with the status of the response to such an event, if there was one.
const STATUS: &str = "http_status";

pub(super) fn plugin() -> Plugin {
    let summary = "sends a request for each event, and puts the response into it";
    Plugin::async_filter("http", summary, SAMPLE, Enrich::new)
}

/// The filter `http`. Several instances may run, each with a batch of its own.
struct Enrich {
    shared: Arc<Lookup>,
    /// A batch that is to be retried, with its results so far.
    kept: Option<(Batch, BatchState)>,
}

/// The state that all instances of one filter share.
struct Lookup {
    client: Arc<HttpClient>,
    address: UrlTemplate,
    method: Method,
    headers: HeaderMap,
    sends_event: bool,
    placement: Placement,
    on_error: OnError,
    parallel: usize,
    cache: Option<Mutex<Cache>>,
}

/// The result of the request for one event.
#[derive(Clone, Debug)]
enum LookupResult {
    Response(Bytes),
    Missing,
    /// The event cannot be processed: the reason, and the status of the response if there was one.
    Rejected {
        reason: String,
        status: Option<u16>,
    },
}

impl LookupResult {
    fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), status: None }
    }
}

impl From<CachedResponse> for LookupResult {
    fn from(kept: CachedResponse) -> Self {
        kept.map_or(Self::Missing, Self::Response)
    }
}

impl Enrich {
    fn new(options: EnrichOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let placement = errors.keep(Placement::new(&options));
        let sends_event = options.body == EnrichBody::Event;
        let method = match (options.method, sends_event) {
            (Some(method), _) => method.into(),
            (None, true) => RequestMethod::Post.into(),
            (None, false) => RequestMethod::Get.into(),
        };
        if options.parallel == 0 {
            errors.push(ConfigError::at("/parallel", "at least 1").help("leave it out for the default of 8"));
        }
        let mut headers = HeaderMap::new();
        if sends_event {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let cache = options.cache.map(|cache| Cache::new(cache.size, cache.bytes.as_usize(), cache.ttl.0));
        let client = errors.keep(HttpClient::new(&options.client, &method));
        let address = errors.keep(UrlTemplate::new(options.url, options.client.query_pairs()));
        let (Some(placement), Some(client), Some(address)) = (placement, client, address) else {
            return Err(errors.into_error());
        };
        errors.finish(())?;
        let shared = Lookup {
            client: Arc::new(client),
            address,
            method,
            headers,
            sends_event,
            placement,
            on_error: options.on_error,
            parallel: options.parallel,
            cache: cache.map(Mutex::new),
        };
        Ok(Self { shared: Arc::new(shared), kept: None })
    }
}

impl Lookup {
    fn request(&self, batch: &Batch, event: usize) -> Result<(Key, Request), String> {
        let url = self.address.render(batch.payload(event))?.into_owned();
        let body = self.sends_event.then(|| batch.shared_payload(event));
        let key = Key { url: url.as_str().into(), body: body.clone() };
        let request = Request { method: self.method.clone(), url, headers: self.headers.clone(), body };
        Ok((key, request))
    }

    fn cached(&self, key: &Key) -> Option<CachedResponse> {
        self.cache.as_ref()?.lock().get(key, Instant::now())
    }

    fn keep(&self, key: Key, found: &LookupResult) {
        let Some(cache) = &self.cache else { return };
        let kept = match found {
            LookupResult::Response(body) => Some(body.clone()),
            LookupResult::Missing => None,
            LookupResult::Rejected { .. } => return,
        };
        cache.lock().insert(key, kept, Instant::now());
    }

    fn put_out(&self, batch: &Batch, known: BatchState, out: &mut Output) {
        for (event, found) in known.found.into_iter().enumerate() {
            let refused = match found {
                Some(LookupResult::Response(response)) => {
                    let put = self.placement.put(out, event, batch.payload(event), &response);
                    put.err().map(|reason| (reason, None))
                }
                Some(LookupResult::Missing) if self.placement.missing == Missing::Pass => {
                    out.keep(event);
                    None
                }
                Some(LookupResult::Missing) | None => {
                    let reason = format!("{} has nothing about this event (404)", self.address.redacted());
                    Some((reason, Some(StatusCode::NOT_FOUND.as_u16())))
                }
                Some(LookupResult::Rejected { reason, status }) => Some((reason, status)),
            };
            match refused {
                Some((reason, _)) if self.on_error == OnError::Reject => out.reject(event, reason),
                Some((reason, status)) => {
                    out.keep(event);
                    out.to(0).attributes(Arc::new(with_error(batch.own_attributes(event), reason, status)));
                }
                None => {}
            }
        }
    }
}

/// Returns the attributes of an event that goes on despite an error.
fn with_error(own: Option<&Arc<Attributes>>, reason: String, status: Option<u16>) -> Attributes {
    let mut attributes = own.map(|own| Attributes::clone(own)).unwrap_or_default();
    attributes.set(ERROR, reason);
    if let Some(status) = status {
        attributes.set(STATUS, i64::from(status));
    }
    attributes
}

/// Returns whether both are the same batch, and not merely equal.
fn is_same(left: &Batch, right: &Batch) -> bool {
    std::ptr::eq(left.spans(), right.spans())
}

#[async_trait]
impl AsyncFilter for Enrich {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.shared.client.open()
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut known = match self.kept.take() {
            Some((kept, known)) if is_same(&kept, batch) => known,
            _ => BatchState::new(batch.len()),
        };
        let done = tokio::select! {
            done = self.shared.find(batch, &mut known, out.attempt(), cx) => done,
            // Dropping the requests closes their connections.
            () = batch.cancelled() => return Err(Error::retry("the client has left")),
        };
        if let Err(error) = done {
            self.kept = Some((batch.clone(), known));
            return Err(error);
        }
        self.shared.put_out(batch, known, out);
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(Self { shared: Arc::clone(&self.shared), kept: None }))
    }

    /// Returns the limit on concurrent requests, for events of one batch or of several.
    fn at_once(&self) -> usize {
        self.shared.parallel
    }
}
