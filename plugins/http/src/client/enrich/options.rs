//! The options of the filter `http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::json::Path;
use tidegate_sdk::{Duration, Size, Template};

use crate::client::options::{ClientOptions, RequestMethod};

/// Sends a request for each event, and puts the response into the event. The order of the events is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrichOptions {
    /// The URL to call. Braces hold values of the event: `"https://api.example.com/users/{.user_id}"`. They are
    /// encoded, and can stand in the path and the query but not in the host.
    #[schemars(extend("examples" = ["https://api.example.com/users/{.user_id}"]))]
    pub(super) url: Template,
    /// `"GET"` or `"POST"`. By default GET, or POST with a body.
    #[serde(default)]
    pub(super) method: Option<RequestMethod>,
    /// The body of a request: `"none"`, or `"event"` for the payload of the event.
    #[serde(default)]
    pub(super) body: EnrichBody,
    /// The name under which the response is put into the event: `into = "user"`. Exactly one of `into`, `merge` and
    /// `replace` is required.
    #[serde(default)]
    pub(super) into: Option<String>,
    /// Puts the members of the response, a JSON object, into the event. They replace members of the same names.
    #[serde(default)]
    pub(super) merge: bool,
    /// Replaces the event by the response. An empty response drops the event.
    #[serde(default)]
    pub(super) replace: bool,
    /// With `replace`: makes one event of each element of a response that is a JSON array.
    #[serde(default)]
    pub(super) split: bool,
    /// The path of the part of the response that is used: `".data.user"`. By default the whole response.
    #[serde(default)]
    pub(super) items: Option<Path>,
    /// The format of the response: `"json"`, or `"text"`, which `into` puts into the event as a string.
    #[serde(default)]
    pub(super) decode: EnrichDecode,
    /// The fate of an event whose response is 404 or 410, or lacks `items`: `"reject"` it, or `"pass"` it on unchanged.
    #[serde(default)]
    pub(super) missing: Missing,
    /// The fate of an event that cannot be processed (the server refuses it, its response is unusable, or its attempts
    /// are used up): `"reject"` it, or `"pass"` it on unchanged, with the reason in the attribute `http_error` and the
    /// status of the response, if there was one, in `http_status`. The engine's option `retry` sets the number of
    /// attempts: `retry = { attempts = 3 }`. By default they are not limited, and one event that always fails delays
    /// those after it.
    #[serde(default)]
    pub(super) on_error: OnError,
    /// The largest number of concurrent requests, for events of one batch, or of several batches with fewer events,
    /// such as the requests of an endpoint.
    #[schemars(range(min = 1))]
    #[serde(default = "parallel")]
    pub(super) parallel: usize,
    /// Caches responses: `cache = { size = 10000, ttl = "5m" }`.
    #[serde(default)]
    pub(super) cache: Option<CacheOptions>,
    #[serde(flatten)]
    pub(super) client: ClientOptions,
}

fn parallel() -> usize {
    8
}

/// The body of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EnrichBody {
    /// No body.
    #[default]
    None,
    /// The payload of the event.
    Event,
}

/// The format of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EnrichDecode {
    /// JSON.
    #[default]
    Json,
    /// Text.
    Text,
}

/// The fate of an event about which the server has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// The event is rejected.
    #[default]
    Reject,
    /// The event goes on unchanged.
    Pass,
}

/// The fate of an event that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnError {
    /// The event is rejected.
    #[default]
    Reject,
    /// The event goes on unchanged, with the reason in an attribute.
    Pass,
}

/// The limits of the cache.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CacheOptions {
    /// The largest number of responses.
    pub(super) size: usize,
    /// The largest number of bytes that the responses take together.
    pub(super) bytes: Size,
    /// The time for which a response is valid.
    pub(super) ttl: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { size: 10_000, bytes: Size(64 << 20), ttl: Duration::seconds(300) }
    }
}
