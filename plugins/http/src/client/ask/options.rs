//! The options of the filter `http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::json::Path;
use tidegate_sdk::{Duration, Size, Template};

use crate::client::options::{AskMethod, ExchangeOptions};

/// Asks a server about each event, and puts the answer into it. The order of the events is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskOptions {
    /// The URL to ask. Braces hold values of the event: `"https://api.example.com/users/{.user_id}"`. They
    /// are encoded, and can stand in the path and the query but not in the host.
    #[schemars(extend("examples" = ["https://api.example.com/users/{.user_id}"]))]
    pub(super) url: Template,
    /// `"GET"` or `"POST"`. By default GET, or POST with a body.
    #[serde(default)]
    pub(super) method: Option<AskMethod>,
    /// What to send: `"none"`, or `"event"` for the payload of the event.
    #[serde(default)]
    pub(super) body: AskBody,
    /// The name under which the answer is put into the event: `into = "user"`. Say one of `into`, `merge` and
    /// `replace`.
    #[serde(default)]
    pub(super) into: Option<String>,
    /// Puts the members of the answer, which is a JSON object, into the event beside its own, in place of
    /// those with the same names.
    #[serde(default)]
    pub(super) merge: bool,
    /// Takes the answer in place of the event. An empty answer drops the event.
    #[serde(default)]
    pub(super) replace: bool,
    /// With `replace`: makes one event of each element of an answer that is a JSON array.
    #[serde(default)]
    pub(super) split: bool,
    /// Where in the answer the part is that is used: `".data.user"`. By default all of it.
    #[serde(default)]
    pub(super) items: Option<Path>,
    /// What the answer is: `"json"`, or `"text"`, which `into` puts into the event as a string.
    #[serde(default)]
    pub(super) decode: AskDecode,
    /// What to do with an event whose answer is 404 or 410, or lacks `items`: `"reject"` it, or `"pass"` it
    /// on as it is.
    #[serde(default)]
    pub(super) missing: Missing,
    /// What to do with an event that cannot be processed (the server refuses it, its answer is of no use, or its
    /// attempts are used up): `"reject"` it, or `"pass"` it on as it is, with the reason in the attribute
    /// `http_error` and the status of the answer, if there was one, in `http_status`. How often a request that failed
    /// is made again says the engine's option `retry`: `retry = { attempts = 3 }`. By default there is no end to it,
    /// and one event that always fails holds up those after it.
    #[serde(default)]
    pub(super) on_error: OnError,
    /// How many questions may be under way at once: about events of one batch, or of several batches of fewer events,
    /// such as the requests of an endpoint.
    #[serde(default = "parallel")]
    pub(super) parallel: usize,
    /// Keeps answers, so that the same question is not asked again for a while:
    /// `cache = { size = 10000, ttl = "5m" }`.
    #[serde(default)]
    pub(super) cache: Option<CacheOptions>,
    #[serde(flatten)]
    pub(super) exchange: ExchangeOptions,
}

fn parallel() -> usize {
    8
}

/// What to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AskBody {
    /// Nothing.
    #[default]
    None,
    /// The payload of the event.
    Event,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AskDecode {
    /// JSON.
    #[default]
    Json,
    /// Text.
    Text,
}

/// What to do with an event about which the server knows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// It is rejected.
    #[default]
    Reject,
    /// It goes on as it is.
    Pass,
}

/// What to do with an event that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnError {
    /// It is rejected.
    #[default]
    Reject,
    /// It goes on as it is, with the reason in an attribute.
    Pass,
}

/// How long answers are kept, and how many.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CacheOptions {
    /// The largest number of answers.
    pub(super) size: usize,
    /// How many bytes the answers may take together.
    pub(super) bytes: Size,
    /// How long an answer is kept.
    pub(super) ttl: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { size: 10_000, bytes: Size(64 << 20), ttl: Duration::seconds(300) }
    }
}
