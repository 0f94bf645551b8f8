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
    /// Where a group that is created begins: `"0"` at the first entry that the stream holds, `"$"` at the
    /// first that comes from now on. A group that was there already goes on where it is.
    #[serde(default)]
    pub(crate) start: Start,
    /// The name of this process in its group. No two processes that run at the same time may share one. With
    /// a name that stays the same across restarts (`"worker-1"`), entries that were not acknowledged are read
    /// again at once; otherwise after `claim_after`. Default: the name of the host, the id of the process and
    /// the name of the component. Two pipelines of a process that name a component alike set `consumer` in one.
    pub(crate) consumer: Option<String>,
    /// What becomes the payload: `payload`, the value of one field; or `fields`, the whole entry as a JSON
    /// object of texts, in which bytes that are not UTF-8 are replaced, and a field that occurs several times is an
    /// array.
    #[serde(default = "payload", rename = "as")]
    pub(crate) form: Form,
    /// With `as = "payload"`: the name of the field, as in `field = "data"`. An entry that lacks it is
    /// rejected.
    #[serde(default = "event")]
    pub(crate) field: String,
    /// After how long without a sign of life a consumer is taken for dead, and its entries are taken over, such
    /// as `"1m"`. A consumer that is busy gives a sign of life three times as often. Shorter than `time_limit` and
    /// `connect_time_limit` together, it is a warning: one lost answer then lets others take over live entries.
    #[serde(default = "thirty_seconds")]
    pub(crate) claim_after: Duration,
    /// How often an entry may be delivered before it is rejected, as one that brings every process down. Left
    /// out, there is no limit. Each restart of the pipeline that finds the entry not acknowledged counts.
    #[schemars(range(min = 1))]
    pub(crate) max_deliveries: Option<u64>,
    /// How long after its delivery an entry is acknowledged, such as `"0s"`. It gives the servers that the sinks
    /// write to the time to get it onto their disks: Redis with `appendfsync everysec` needs a second. A
    /// process that is killed leaves that much to be delivered twice. Without effect where the sink acknowledges,
    /// under `delivery = "effectively_once"`.
    #[serde(default = "two_seconds")]
    pub(crate) ack_after: Duration,
}

/// Where a new group begins.
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

/// What of an entry becomes the payload.
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
