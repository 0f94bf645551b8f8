//! The options of the sink: the reference manual.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::json::Path;
use tidegate_sdk::{Duration, Template};

use crate::server::options::ServerOptions;

/// Writes each event with one Redis command. Events that may share a command (`rpush`, `lpush`, `sadd`,
/// `zadd`, `hset` on one key) do, which spares the server most of its work; everything else is pipelined.
///
/// Exactly one of `url`, `sentinel` and `cluster` says where the server is.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(flatten)]
    pub(crate) server: ServerOptions,
    /// The command that an event is written with.
    pub(crate) command: Command,
    /// The key (for `publish`, the channel). Braces hold a jq path: `user:{.id}`. It must begin with a literal
    /// part, and the rendered key stays under it. `{{` and `}}` stand for braces, as in `{{users}}:active`.
    #[schemars(extend("examples" = ["user:{.id}"]))]
    pub(crate) key: Template,
    /// For `xadd` and `hset`: whether the payload is one field, or the members of a JSON object become fields
    /// (text without its quotes, nested values as JSON). Default: `payload` for `xadd`, `fields` for `hset`.
    #[serde(rename = "as")]
    pub(crate) form: Option<Form>,
    /// With `as = "payload"`: the name of the field. Either a path (`.id`), or text as in `key` (`user:{.id}`).
    /// Default for `xadd`: `event`; for `hset` it must be given.
    pub(crate) field: Option<String>,
    /// The path of the value that is written instead of the whole payload; text is written without its quotes.
    /// Example: `.name`.
    pub(crate) value: Option<Path>,
    /// For `zadd`: where the score is. An event without a number there is rejected. Example: `.ts`.
    pub(crate) score: Option<Path>,
    /// The time that a key lives after its last write, such as `"1h"`. Free for `set`; for other commands it is one
    /// more command (and one more exchange) for each key of each batch. Not for `publish`.
    pub(crate) ttl: Option<Duration>,
    /// For `xadd`, `rpush` and `lpush`: the number of entries that the key keeps. The oldest are removed first.
    #[schemars(range(min = 1))]
    pub(crate) maxlen: Option<u64>,
    /// For `xadd`: keep exactly `maxlen` entries, not somewhat more. Exact trimming costs the server more.
    #[serde(default)]
    pub(crate) maxlen_exact: bool,
    /// Pause while the key holds this many entries or more, so that a slow reader slows the source and does not fill
    /// the server. Checked every 100 ms or 8192 events. Only for a literal key, and not for `set` and `publish`.
    #[schemars(range(min = 1))]
    pub(crate) depth_limit: Option<u64>,
    /// The number of replicas that must have a batch before it counts as delivered (`WAIT`), such as `1`. If fewer
    /// confirm it within half of `time_limit`, it is written again, so it may be there twice. Not with
    /// `delivery = "effectively_once"`, where what a failover loses is delivered again. Default: none.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) wait_for_replicas: Option<u32>,
}

/// The command that an event is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Command {
    /// Appends an entry to a stream; the server chooses its id.
    Xadd,
    /// Appends to the end of a list.
    Rpush,
    /// Adds to the start of a list.
    Lpush,
    /// Sends to the subscribers of a channel. That there are none is not an error.
    Publish,
    /// Sets a string, in place of what it was.
    Set,
    /// Sets fields of a hash.
    Hset,
    /// Adds to a set.
    Sadd,
    /// Adds to a sorted set; a member that is there already gets the new score.
    Zadd,
}

/// The form of the payload in an entry with fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The payload is one field.
    Payload,
    /// Each member of the JSON object is a field.
    Fields,
}

impl Command {
    /// The command's name on the connection.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xadd => "XADD",
            Self::Rpush => "RPUSH",
            Self::Lpush => "LPUSH",
            Self::Publish => "PUBLISH",
            Self::Set => "SET",
            Self::Hset => "HSET",
            Self::Sadd => "SADD",
            Self::Zadd => "ZADD",
        }
    }

    /// The command's name in a pipeline file.
    pub(crate) fn option(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// True if a command can carry many events.
    pub(crate) fn is_variadic(self) -> bool {
        !matches!(self, Self::Xadd | Self::Publish | Self::Set)
    }

    /// True if the command writes to a list.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Rpush | Self::Lpush)
    }

    /// The command that asks how many entries a key has.
    pub(crate) fn depth(self) -> Option<&'static str> {
        match self {
            Self::Xadd => Some("XLEN"),
            Self::Rpush | Self::Lpush => Some("LLEN"),
            Self::Sadd => Some("SCARD"),
            Self::Zadd => Some("ZCARD"),
            Self::Hset => Some("HLEN"),
            Self::Publish | Self::Set => None,
        }
    }
}
