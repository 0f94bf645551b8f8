//! The options of the sink `http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::Template;

use crate::client::options::ClientOptions;
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
    /// The format of a request: `"json_array"` (a batch, as an array), `"json_lines"` (a batch, one event a line), or
    /// `"single"` (one event, as it is). The engine's option `batch` limits the size of a batch.
    #[serde(default)]
    pub(super) format: Format,
    /// With `format = "single"`: the number of concurrent requests. Above 1, the order of the events is not kept.
    #[schemars(range(min = 1))]
    #[serde(default = "one")]
    pub(super) parallel: usize,
    /// The compression of the body: `"none"`, `"gzip"`, `"deflate"` or `"zstd"`. The server must support it.
    #[serde(default)]
    pub(super) compress: Compress,
    /// Sends an `Idempotency-Key` with each request. It is the same when the request is repeated, so that a server that
    /// knows the header does not process the same events twice.
    #[serde(default = "yes")]
    pub(super) idempotency_key: bool,
    #[serde(flatten)]
    pub(super) client: ClientOptions,
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

/// The format of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A batch, as a JSON array.
    #[default]
    JsonArray,
    /// A batch, one event a line.
    JsonLines,
    /// A single event, as it is.
    Single,
}

/// The compression of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compress {
    /// No compression.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// deflate, in the zlib format.
    Deflate,
    /// zstd.
    Zstd,
}

impl Compress {
    /// Returns the content coding, if there is one.
    pub(super) fn coding(self) -> Option<Coding> {
        match self {
            Self::None => None,
            Self::Gzip => Some(Coding::Gzip),
            Self::Deflate => Some(Coding::Deflate),
            Self::Zstd => Some(Coding::Zstd),
        }
    }
}
