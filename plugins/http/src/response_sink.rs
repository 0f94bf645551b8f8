//! The sink `http_response`: answers requests that `http_server` holds open.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::TRANSFER_ENCODING;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{
    AttributeValue, Batch, ConfigError, ConfigErrors, Cx, Delivery, Error, Plugin, Sink, async_trait,
};

use crate::pending::{PendingRequests, REQUEST, ResponseStyle, ResultEvent};

/// Answers the request that an `http_server` with `respond = "result"` holds open: with what reaches this
/// sink, in the order of the request's events. A request that is one event is answered by its one result
/// (204 if there is none, an array if there are several), an array by an array, JSON lines by JSON lines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The status of the responses: success or redirection (200 to 399). Errors have a status of their own: 422 for a
    /// rejected event, 503 for a failure, 504 past the time limit. A response without content has status 204 if this is
    /// 200.
    #[schemars(range(min = 200, max = 399))]
    status: u16,
    /// The `Content-Type` of the responses. By default it follows the request: `application/json`,
    /// `application/x-ndjson` or `text/plain; charset=utf-8`.
    #[schemars(example = "application/geo+json")]
    content_type: Option<String>,
    /// More headers of the responses, such as `{ "cache-control" = "no-store" }`.
    headers: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { status: 200, content_type: None, headers: BTreeMap::new() }
    }
}

const SAMPLE: &str = r#"[source.api]
plugin = "http_server"
listen = "127.0.0.1:8080"
path = "/users"
respond = "result"

[filter.active]
plugin = "jq"
query = 'select(.status == "active") | {name, age}'

[sink.answer]
plugin = "http_response"
"#;

/// Describes the sink.
pub(crate) fn plugin(pending_requests: Arc<PendingRequests>) -> Plugin {
    let summary = "sends the responses to requests that http_server holds open";
    Plugin::sink("http_response", summary, SAMPLE, move |options: Options| {
        Ok(HttpResponse {
            pending_requests: Arc::clone(&pending_requests),
            style: Arc::new(style(&options)?),
        })
    })
}

/// Checks the options and returns the status and headers that they set.
fn style(options: &Options) -> Result<ResponseStyle, ConfigError> {
    let status = StatusCode::from_u16(options.status).ok().filter(|_| (200..400).contains(&options.status));
    let mut errors = ConfigErrors::default();
    let status = status.ok_or_else(|| {
        ConfigError::at("/status", format!("{} is not a success status", options.status))
            .help("use a number from 200 to 399")
    });
    let status = errors.keep(status).unwrap_or_default();
    let value = |pointer: &str, text: &String| {
        HeaderValue::from_str(text).map_err(|_| {
            ConfigError::at(pointer, "this is not the value of a header")
                .help("use visible ASCII characters, without line ends")
        })
    };
    let content_type = options.content_type.as_ref().map(|text| value("/content_type", text)).transpose();
    let content_type = errors.keep(content_type).flatten();
    let mut headers = HeaderMap::new();
    for (name, text) in &options.headers {
        let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ConfigError::at(pointer.as_str(), format!("`{name}` is not the name of a header"))
                .help("write it like \"cache-control\"")
        });
        let (Some(known), Some(value)) = (errors.keep(known), errors.keep(value(&pointer, text))) else {
            continue;
        };
        if known == CONTENT_TYPE {
            errors.push(
                ConfigError::at(pointer, "the content type is an option of its own")
                    .help("set `content_type` instead"),
            );
            continue;
        }
        if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&known) {
            errors.push(
                ConfigError::at(pointer, format!("the server itself sets `{name}`"))
                    .help("remove this header"),
            );
            continue;
        }
        headers.insert(known, value);
    }
    errors.finish(ResponseStyle { status, content_type, headers })
}

/// The sink `http_response`.
struct HttpResponse {
    pending_requests: Arc<PendingRequests>,
    style: Arc<ResponseStyle>,
}

#[async_trait]
impl Sink for HttpResponse {
    async fn write(&mut self, batch: &Batch, _cx: &Cx) -> Result<Delivery, Error> {
        let mut delivery = Delivery::complete();
        let mut start = 0;
        for run in batch.runs() {
            let events = start..run.end as usize;
            start = events.end;
            let Some(AttributeValue::Integer(id)) = run.origin.attributes.get(REQUEST) else {
                for event in events {
                    delivery.reject(event, NO_REQUEST);
                }
                continue;
            };
            // If the request is over (the client left, or its time limit passed), the result is discarded.
            if let Some(collected) = self.pending_requests.get(*id) {
                let results = events.map(|event| ResultEvent {
                    position: (run.origin.sequence, batch.source_index(event)),
                    payload: batch.shared_payload(event),
                });
                collected.add(results, &self.style);
            }
        }
        Ok(delivery)
    }

    fn answers(&self) -> bool {
        true
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(Self {
            pending_requests: Arc::clone(&self.pending_requests),
            style: Arc::clone(&self.style),
        }))
    }
}

const NO_REQUEST: &str = "no request waits for this event: `http_response` answers only events of an \
                          `http_server` with `respond = \"result\"`";
