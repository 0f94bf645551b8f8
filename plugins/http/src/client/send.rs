//! The sink `http`: sends events to a server.

mod body;
mod options;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use tidegate_sdk::{
    Batch, Class, ConfigError, ConfigErrors, Cx, Delivery, Error, Plugin, Sink, async_trait, json,
};

use self::body::{Keys, body, compressed};
use self::options::{Compress, Format, SendOptions};
use super::HttpClient;
use super::http_client::Request;
use super::response::Response;
use super::url_template::UrlTemplate;

const SAMPLE: &str = r#"[sink.events]
plugin = "http"
url = "https://api.example.com/events"
format = "json_lines"
compress = "gzip"
auth = { bearer = "${API_TOKEN}" }
"#;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The pause before a repeated request that was refused with 409 is sent once more.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// The number of requests of one write in search of refused events. The engine retries the rest.
const SEARCH: usize = 64;

pub(super) fn plugin() -> Plugin {
    Plugin::sink("http", "sends events to a server", SAMPLE, HttpSink::new)
}

/// The sink `http`. Forks share its connections.
#[derive(Clone, Debug)]
struct HttpSink(Arc<Target>);

/// The target of the events.
#[derive(Debug)]
struct Target {
    client: HttpClient,
    address: UrlTemplate,
    method: Method,
    headers: HeaderMap,
    format: Format,
    parallel: usize,
    compress: Compress,
    keys: Option<Keys>,
}

/// The results for the events of one write so far.
#[derive(Debug, Default)]
struct Progress {
    delivery: Delivery,
    /// Set if any event was delivered or rejected.
    is_done: bool,
    open: Vec<usize>,
    error: Option<Error>,
    /// Events that failed on their own.
    failed: Vec<(usize, Error)>,
}

impl Progress {
    fn reject(&mut self, event: usize, reason: &str) {
        self.is_done = true;
        self.delivery.reject(event, reason);
    }

    fn fail(&mut self, events: impl IntoIterator<Item = usize>, error: Error) {
        self.open.extend(events);
        self.error.get_or_insert(error);
    }

    /// Returns the delivery of events that were sent one by one.
    fn finish_each(mut self) -> Delivery {
        self.failed.sort_by_key(|(event, _)| *event);
        let first = self.failed.first().map(|(_, error)| Error::retry(error.message()));
        for (event, error) in self.failed {
            self.delivery.failed(event, error);
        }
        if let Some(error) = first.filter(|_| !self.open.is_empty()) {
            self.delivery.retry(self.open, error);
        }
        self.delivery
    }

    fn finish(mut self) -> Result<Delivery, Error> {
        let Some(error) = self.error else { return Ok(self.delivery) };
        if !self.is_done {
            return Err(error);
        }
        self.open.sort_unstable();
        self.delivery.retry(self.open, error);
        Ok(self.delivery)
    }
}

impl HttpSink {
    fn new(options: SendOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let address = errors.keep(UrlTemplate::new(options.url, options.client.query_pairs()));
        let single = options.format == Format::Single;
        if !single && address.as_ref().is_some_and(|address| !address.is_fixed()) {
            errors.push(
                ConfigError::at("/url", "a request with many events cannot go to a URL made of one event")
                    .help("set `format = \"single\"`, or write a URL without braces"),
            );
        }
        if options.parallel == 0 || (options.parallel > 1 && !single) {
            let message = "`parallel` is at least 1, and more only with `format = \"single\"`";
            errors.push(
                ConfigError::at("/parallel", message)
                    .help("to send several batches at once, set the engine's option `concurrency`"),
            );
        }
        let content_type = match options.format {
            Format::JsonLines => "application/x-ndjson",
            Format::JsonArray | Format::Single => "application/json",
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(coding) = options.compress.coding() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        let method = options.method.into();
        let client = errors.keep(HttpClient::new(&options.client, &method));
        let (Some(address), Some(client)) = (address, client) else { return Err(errors.into_error()) };
        errors.finish(Self(Arc::new(Target {
            client,
            address,
            method,
            headers,
            format: options.format,
            parallel: options.parallel,
            compress: options.compress,
            keys: options.idempotency_key.then(Keys::new),
        })))
    }
}

impl Target {
    /// Sends these events in one request. An error of class [`Class::Reject`] concerns the events.
    async fn send(&self, batch: &Batch, events: &[usize], cx: &Cx) -> Result<(), Error> {
        let first = events.first().map_or(&b""[..], |event| batch.payload(*event));
        let url = self.address.render(first).map_err(Error::reject)?.into_owned();
        let mut headers = self.headers.clone();
        let key = self.keys.as_ref().map(|keys| (keys, keys.key(cx.component(), batch, events)));
        if let Some((_, key)) = &key {
            let key = HeaderValue::try_from(key).expect("a key is hexadecimal digits");
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        let body = compressed(body(batch, events, self.format), self.compress, cx).await?;
        let request = Request { method: self.method.clone(), url, headers, body: Some(body) };
        let Some((keys, key)) = key else { return self.classify(&self.client.send(&request).await?) };
        let repeated = keys.is_open(&key);
        let sent = self.client.send(&request).await;
        let taken = match &sent {
            Ok(response) => may_have_been_taken(response.status),
            Err(error) => error.class() == Class::Ambiguous,
        };
        if taken {
            keys.open(&key);
        }
        let mut response = sent?;
        if repeated && response.status == StatusCode::CONFLICT {
            if let Some(pause) = response.pause {
                let error = Error::retry(format!(
                    "{}: the server still processes the previous request",
                    response.request
                ));
                return Err(error.after(pause));
            }
            // The server knows the key: it has the events, or still processes the first request, which may fail. A
            // second 409 after a pause means that it has them.
            cx.sleep(CONFLICT_PAUSE).await;
            response = self.client.send(&request).await?;
            if response.status == StatusCode::CONFLICT {
                tracing::debug!("{} answered 409 to a repeated key: the events are there", response.request);
                keys.close(&key);
                return Ok(());
            }
        }
        if !may_have_been_taken(response.status) {
            keys.close(&key);
        }
        self.classify(&response)
    }

    /// Classifies a response.
    fn classify(&self, response: &Response) -> Result<(), Error> {
        // If the URL is made from the event, 404 is a fault of the event.
        let missing = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        match response.error() {
            None => Ok(()),
            Some(error) if missing && !self.address.is_fixed() => Err(Error::reject(error.message())),
            Some(error) => Err(error),
        }
    }

    /// Sends the events in one request. If the server refuses them, sends halves until the bad events are known.
    async fn send_together(&self, batch: &Batch, events: &[usize], progress: &mut Progress, cx: &Cx) {
        let mut left: Vec<Range<usize>> = std::iter::once(0..events.len()).collect();
        let mut requests = 0;
        while let Some(range) = left.pop().filter(|range| !range.is_empty()) {
            requests += 1;
            let error = match self.send(batch, &events[range.clone()], cx).await {
                Ok(()) => {
                    progress.is_done = true;
                    continue;
                }
                Err(error) => error,
            };
            let refused = error.class() == Class::Reject;
            if refused && range.len() == 1 {
                progress.reject(events[range.start], error.message());
            } else if refused && requests < SEARCH {
                let middle = range.start + range.len() / 2;
                left.extend([middle..range.end, range.start..middle]);
            } else {
                let error =
                    if refused { Error::retry(format!("many events are refused: {error}")) } else { error };
                let open = std::iter::once(range).chain(left.into_iter().rev()).flatten();
                return progress.fail(open.map(|index| events[index]), error);
            }
        }
    }

    /// Sends the events one by one, or several at once. A failure concerns its event only. One at a time keeps the
    /// order: the events after a failure wait for it. Several at once have no order, so the others go on, unless they
    /// would fail too.
    async fn send_each(&self, batch: &Batch, events: &[usize], progress: &mut Progress, cx: &Cx) {
        let mut waiting = events.iter().copied();
        let mut flying = FuturesUnordered::new();
        let (mut stopped, mut silent) = (false, 0);
        loop {
            while !stopped && flying.len() < self.parallel {
                let Some(event) = waiting.next() else { break };
                flying.push(async move { (event, self.send(batch, &[event], cx).await) });
            }
            let Some((event, sent)) = flying.next().await else { break };
            let unanswered = sent.as_ref().is_err_and(|error| error.class() == Class::Ambiguous);
            silent = if unanswered { silent + 1 } else { 0 };
            match sent {
                Ok(()) => {}
                Err(error) if error.class() == Class::Reject => progress.reject(event, error.message()),
                Err(error) => {
                    stopped |= self.parallel == 1 || concerns_all(&error) || silent >= 2 * self.parallel;
                    progress.failed.push((event, error));
                }
            }
        }
        progress.open.extend(waiting);
    }
}

/// Returns whether a server that responded with this status may have processed the request: a gateway timeout, or a
/// failure after the work was done.
fn may_have_been_taken(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// Returns whether other requests would fail too: because of credentials, or because the server asks for a pause.
fn concerns_all(error: &Error) -> bool {
    error.class() == Class::Misconfigured || error.retry_after().is_some()
}

#[async_trait]
impl Sink for HttpSink {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.0.client.open()
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let mut progress = Progress::default();
        if self.0.format == Format::Single {
            let events: Vec<usize> = (0..batch.len()).collect();
            self.0.send_each(batch, &events, &mut progress, cx).await;
            return Ok(progress.finish_each());
        }
        let mut events = Vec::with_capacity(batch.len());
        for (event, payload) in batch.payloads().enumerate() {
            match json::check(payload) {
                Ok(()) => events.push(event),
                Err(reason) => progress.reject(event, &reason),
            }
        }
        self.0.send_together(batch, &events, &mut progress, cx).await;
        progress.finish()
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(self.clone()))
    }
}
