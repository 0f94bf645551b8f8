//! The options of the sink `http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::Template;

use crate::client::options::ExchangeOptions;
use crate::coding::Coding;

/// Sends events to a server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendOptions {
    /// The URL to send to: `"https://api.example.com/events"`. With `format = "single"`, braces in its path
    /// and query hold values of the event: `"https://api.example.com/users/{.id}"`.
    #[schemars(extend("examples" = ["https://api.example.com/events"]))]
    pub(super) url: Template,
    /// `"POST"`, `"PUT"` or `"PATCH"`.
    #[serde(default)]
    pub(super) method: SendMethod,
    /// What a request carries: `"json_array"` (a batch, as an array), `"json_lines"` (a batch, one event a
    /// line), or `"single"` (one event, as it is). The engine's option `batch` says how large a batch may be.
    #[serde(default)]
    pub(super) format: Format,
    /// With `format = "single"`: how many requests may be under way at once. Over 1, the order of the events
    /// is not kept.
    #[serde(default = "one")]
    pub(super) parallel: usize,
    /// How the body is compressed: `"none"`, `"gzip"`, `"deflate"` or `"zstd"`. The server must understand it.
    #[serde(default)]
    pub(super) compress: Compress,
    /// Whether each request carries an `Idempotency-Key` that is the same when it is sent again, so that a
    /// server that knows the header does not take the same events twice.
    #[serde(default = "yes")]
    pub(super) idempotency_key: bool,
    #[serde(flatten)]
    pub(super) exchange: ExchangeOptions,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// The method of a request that carries events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum SendMethod {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

impl From<SendMethod> for reqwest::Method {
    fn from(method: SendMethod) -> Self {
        match method {
            SendMethod::Post => Self::POST,
            SendMethod::Put => Self::PUT,
            SendMethod::Patch => Self::PATCH,
        }
    }
}

/// What a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A batch, as a JSON array.
    #[default]
    JsonArray,
    /// A batch, one event a line.
    JsonLines,
    /// One event, as it is.
    Single,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compress {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
    /// With deflate, in the zlib format.
    Deflate,
    /// With zstd.
    Zstd,
}

impl Compress {
    /// The coding of the body, if it has one.
    pub(super) fn coding(self) -> Option<Coding> {
        match self {
            Self::None => None,
            Self::Gzip => Some(Coding::Gzip),
            Self::Deflate => Some(Coding::Deflate),
            Self::Zstd => Some(Coding::Zstd),
        }
    }
}
