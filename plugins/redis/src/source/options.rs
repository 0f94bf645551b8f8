//! The options of the source: the reference manual.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::Duration;

use crate::server::options::ServerOptions;

/// Reads a Redis stream as one of a consumer group. As many processes as you like share the stream: each entry
/// goes to one of them, and the entries of one that died go to the others.
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
    /// everything take two groups.
    #[schemars(length(min = 1))]
    pub(crate) group: String,
    /// The start of a group that is created: `"0"` at the first entry that the stream holds, `"$"` at the first
    /// entry that comes from now on. A group that exists continues where it is.
    #[serde(default)]
    pub(crate) start: Start,
    /// The name of this process in its group. No two processes that run at the same time may share one. With
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
    /// The time without a sign of life after which a consumer is taken for dead and its entries are taken over, such
    /// as `"1m"`. A consumer that is busy gives a sign of life three times as often. Shorter than `time_limit` and
    /// `connect_time_limit` together, it is a warning: one lost answer then lets others take over live entries.
    #[serde(default = "thirty_seconds")]
    pub(crate) claim_after: Duration,
    /// The number of deliveries after which an entry is rejected, as one that crashes every process. Each restart of
    /// the pipeline that finds the entry unacknowledged counts. Default: no limit.
    #[schemars(range(min = 1))]
    pub(crate) max_deliveries: Option<u64>,
    /// The time between the delivery of an entry and its acknowledgement, such as `"0s"`. The servers that the sinks
    /// write to use it to store the event on disk: Redis with `appendfsync everysec` needs a second. After a
    /// kill, the entries of that time are delivered twice. No effect where the sink acknowledges, under
    /// `delivery = "effectively_once"`.
    #[serde(default = "two_seconds")]
    pub(crate) ack_after: Duration,
}

/// The start of a new group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub(crate) enum Start {
    /// At the first entry that the stream holds.
    #[default]
    #[serde(rename = "0")]
    First,
    /// At the first entry that comes from now on.
    #[serde(rename = "$")]
    Next,
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

fn thirty_seconds() -> Duration {
    Duration::seconds(30)
}

fn two_seconds() -> Duration {
    Duration::seconds(2)
}
