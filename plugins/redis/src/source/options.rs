//! The options of the source: the reference manual.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_sdk::Duration;

use crate::server::options::ServerOptions;
use crate::source::page::Id;

/// Reads a Redis stream. With `group`, as one of a consumer group: as many processes as you like share the stream, each
/// entry goes to one of them, and the entries of one that died go to the others. Without it, by the ids of the entries:
/// this pipeline reads all of them in order, and the id of the last one is the position at which it resumes.
///
/// Exactly one of `url`, `sentinel` and `cluster` says where the server is.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(flatten)]
    pub(crate) server: ServerOptions,
    /// The key of the stream. It need not exist yet.
    #[schemars(length(min = 1))]
    pub(crate) stream: String,
    /// The name of the consumer group. It is created if there is none. Two pipelines that are each to see
    /// everything take two groups, or none.
    #[schemars(length(min = 1))]
    pub(crate) group: Option<String>,
    /// The start of a group that is created, or of a first run without a group: `"0"` at the first entry that the stream
    /// holds, `"$"` at the first entry that comes from now on, `"1719843200000-0"` after the entry with this id. A group
    /// that exists, or a run with a position, continues where it is.
    #[serde(default)]
    pub(crate) start: Start,
    /// With `group`: the name of this process in it. No two processes that run at the same time may share one. With
    /// a name that stays the same across restarts (`"worker-1"`), entries that were not acknowledged are read
    /// again at once; otherwise after `claim_after`. Default: the name of the host, the id of the process and
    /// the name of the component. Two pipelines of a process that name a component alike set `consumer` in one.
    pub(crate) consumer: Option<String>,
    /// The payload: `payload` is the value of one field, `fields` the whole entry as a JSON object of texts. Bytes
    /// that are not UTF-8 are replaced, and a field that occurs several times becomes an array.
    #[serde(default = "payload", rename = "as")]
    pub(crate) form: Form,
    /// With `as = "payload"`: the name of the field, as in `field = "data"`. An entry that lacks it is
    /// rejected.
    #[serde(default = "event")]
    pub(crate) field: String,
    /// With `group`: the time without a sign of life after which a consumer is taken for dead and its entries are taken over, such
    /// as `"1m"`. A consumer that is busy gives a sign of life three times as often. Shorter than `time_limit` and
    /// `connect_time_limit` together, it is a warning: one lost answer then lets others take over live entries.
    /// Default: `"30s"`.
    pub(crate) claim_after: Option<Duration>,
    /// With `group`: the number of deliveries after which an entry is rejected, as one that crashes every process. Each restart of
    /// the pipeline that finds the entry unacknowledged counts. Default: no limit.
    #[schemars(range(min = 1))]
    pub(crate) max_deliveries: Option<u64>,
    /// With `group`: the time between the delivery of an entry and its acknowledgement, such as `"0s"`. The servers that the sinks
    /// write to use it to store the event on disk: Redis with `appendfsync everysec` needs a second. After a
    /// kill, the entries of that time are delivered twice. No effect where the sink acknowledges, under
    /// `delivery = "effectively_once"`. Default: `"2s"`.
    pub(crate) ack_after: Option<Duration>,
}

impl Options {
    /// The time after which a consumer is taken for dead.
    pub(crate) fn claim_after(&self) -> Duration {
        self.claim_after.unwrap_or(Duration::seconds(30))
    }

    /// The time between the delivery of an entry and its acknowledgement.
    pub(crate) fn ack_after(&self) -> Duration {
        self.ack_after.unwrap_or(Duration::seconds(2))
    }
}

/// The first entry that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first entry that the stream holds.
    #[default]
    First,
    /// The first entry that comes from now on.
    Next,
    /// The entry after this id.
    After(Id),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Self::First),
            "$" => Ok(Self::Next),
            id => Id::parse(id.as_bytes()).map(Self::After).map_err(|_| {
                format!("`{id}` is neither \"0\" nor \"$\" nor an id such as \"1719843200000-0\"")
            }),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => formatter.write_str("0"),
            Self::Next => formatter.write_str("$"),
            Self::After(id) => id.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^(0|\$|[0-9]+-[0-9]+)$"})
    }
}

/// The part of an entry that becomes the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The value of one field.
    Payload,
    /// All fields, as a JSON object.
    Fields,
}

fn payload() -> Form {
    Form::Payload
}

fn event() -> String {
    "event".to_owned()
}
