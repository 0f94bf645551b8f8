//! The filter `http`: asks a server about each event.

mod cache;
mod options;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tidegate_sdk::{AsyncFilter, Batch, Class, ConfigError, Cx, Error, Output, Plugin};

use self::cache::{Cache, Kept, Key};
use self::options::{AskBody, AskOptions, Missing};
use self::place::Place;
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

pub(super) fn plugin() -> Plugin {
    let summary = "asks a server about each event, and puts the answer into it";
    Plugin::async_filter("http", summary, SAMPLE, Ask::new)
}

/// Asks a server about each event.
struct Ask {
    caller: Arc<Caller>,
    address: Address,
    method: Method,
    headers: HeaderMap,
    sends_event: bool,
    place: Place,
    parallel: usize,
    cache: Option<Cache>,
    /// A batch that is to be tried again, with what is known of it already.
    kept: Option<(Batch, Vec<Option<Found>>)>,
}

/// What is known about one event.
#[derive(Clone, Debug)]
enum Found {
    Answer(Bytes),
    Missing,
    Rejected(String),
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
        Ok(Self {
            caller: Arc::new(Caller::new(&options.exchange, &method)?),
            address: Address::new(options.url, options.exchange.query_pairs())?,
            method,
            headers,
            sends_event,
            place,
            parallel: options.parallel,
            cache,
            kept: None,
        })
    }

    /// Finds what is still open in `found`, several at once. What was found stays, also after an error.
    async fn find(&mut self, batch: &Batch, found: &mut [Option<Found>]) -> Result<(), Error> {
        let mut open =
            (0..batch.len()).filter(|event| found[*event].is_none()).collect::<Vec<_>>().into_iter();
        let mut flying = FuturesUnordered::new();
        let mut failed = None;
        loop {
            while failed.is_none() && flying.len() < self.parallel {
                let Some(event) = open.next() else { break };
                match self.question(batch, event) {
                    Ok((key, question)) => match self.cached(&key) {
                        Some(kept) => found[event] = Some(kept.into()),
                        None => flying.push(ask(Arc::clone(&self.caller), event, key, question)),
                    },
                    Err(reason) => found[event] = Some(Found::Rejected(reason)),
                }
            }
            // After a failure nothing more is asked, but what is under way is waited for: it need not be
            // asked again.
            let Some((event, key, result)) = flying.next().await else { break };
            match result {
                Ok(answer) => {
                    self.keep(key, &answer);
                    found[event] = Some(answer);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn question(&self, batch: &Batch, event: usize) -> Result<(Key, Question), String> {
        let url = self.address.render(batch.payload(event))?.into_owned();
        let body = self.sends_event.then(|| batch.shared_payload(event));
        let key = Key { url: url.as_str().into(), body: body.clone() };
        let question = Question { method: self.method.clone(), url, headers: self.headers.clone(), body };
        Ok((key, question))
    }

    fn cached(&mut self, key: &Key) -> Option<Kept> {
        self.cache.as_mut()?.get(key, Instant::now())
    }

    fn keep(&mut self, key: Key, found: &Found) {
        let Some(cache) = &mut self.cache else { return };
        let kept = match found {
            Found::Answer(body) => Some(body.clone()),
            Found::Missing => None,
            Found::Rejected(_) => return,
        };
        cache.insert(key, kept, Instant::now());
    }

    fn put_out(&self, batch: &Batch, found: Vec<Option<Found>>, out: &mut Output) {
        let mut builder = batch.derive();
        for (event, found) in found.into_iter().enumerate() {
            match found {
                Some(Found::Answer(answer)) => {
                    let put = self.place.put(&mut builder, event, batch.payload(event), &answer);
                    if let Err(reason) = put {
                        out.reject(event, reason);
                    }
                }
                Some(Found::Missing) if self.place.missing == Missing::Pass => builder.keep(event),
                Some(Found::Missing) | None => {
                    out.reject(event, format!("{} has nothing about this event (404)", self.address.shown()));
                }
                Some(Found::Rejected(reason)) => out.reject(event, reason),
            }
        }
        out.emit(builder.finish());
    }
}

/// Asks about one event.
async fn ask(
    caller: Arc<Caller>,
    event: usize,
    key: Key,
    question: Question,
) -> (usize, Key, Result<Found, Error>) {
    let found = match caller.fetch(&question).await {
        Ok(answer) if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(Found::Missing),
        Ok(answer) => match (answer.error(), answer.fault) {
            (Some(error), _) if error.class() == Class::Reject => Ok(Found::Rejected(error.message().into())),
            (Some(error), _) => Err(error),
            (None, Some(fault)) => Ok(Found::Rejected(fault.message().into())),
            (None, None) => Ok(Found::Answer(answer.body)),
        },
        Err(error) => Err(error),
    };
    (event, key, found)
}

/// Whether both are the same batch, not only equal ones.
fn is_same(left: &Batch, right: &Batch) -> bool {
    std::ptr::eq(left.spans(), right.spans())
}

impl AsyncFilter for Ask {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.caller.open()
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, _cx: &Cx) -> Result<(), Error> {
        let mut found = match self.kept.take() {
            Some((kept, found)) if is_same(&kept, batch) => found,
            _ => vec![None; batch.len()],
        };
        if let Err(error) = self.find(batch, &mut found).await {
            self.kept = Some((batch.clone(), found));
            return Err(error);
        }
        self.put_out(batch, found, out);
        Ok(())
    }
}
