//! Limits of the work on one event.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::Size;

/// Limits of the results of one event, and of the work on it. An event over a limit is rejected, with the
/// name of the limit in the reason; the events beside it go on.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limit {
    /// The number of events that one event may become. Default 100,000.
    pub(crate) events: usize,
    /// The bytes of JSON of all results of one event, together. Default `"64MiB"`.
    pub(crate) bytes: Size,
    /// The steps that the query may take for one event: one for each part of the query that is evaluated, so
    /// `map(.a + 1)` takes about five an element. Default 5,000,000, which is about half a second. It ends
    /// queries that would never end.
    pub(crate) steps: u64,
    /// The memory that the values may take that the query has for one event at the same time, beside the event
    /// itself. Default `"256MiB"`. What an operation is going to take is counted before it takes it, so that no
    /// event can choose how much memory the process needs.
    pub(crate) memory: Size,
}

impl Default for Limit {
    fn default() -> Self {
        Self { events: 100_000, bytes: Size(64 << 20), steps: 5_000_000, memory: Size(256 << 20) }
    }
}

pub(crate) fn over_events(limit: usize) -> String {
    format!("the query made more than {limit} events of this one, which is `limit.events`")
}

pub(crate) fn over_bytes(limit: usize) -> String {
    format!("the query made more than {} of this event, which is `limit.bytes`", Size(limit as u64))
}

pub(crate) fn over_memory(limit: usize) -> String {
    format!(
        "the query needs more than {} of memory for this event, which is `limit.memory`",
        Size(limit as u64)
    )
}

pub(crate) fn over_steps(limit: u64) -> String {
    format!("the query took more than {limit} steps for this event, which is `limit.steps`")
}
