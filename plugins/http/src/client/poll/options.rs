//! The options of the source `http_poll`.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::Duration;
use tidegate_sdk::json::Path;

use crate::client::options::{AskMethod, ExchangeOptions, QueryValue};

/// Asks a URL again and again, and makes events of the answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollOptions {
    /// The URL to ask: `"https://api.example.com/users"`.
    pub(super) url: String,
    /// `"GET"` or `"POST"`.
    #[serde(default)]
    pub(super) method: AskMethod,
    /// The body to send with each request, for example a GraphQL query.
    #[serde(default)]
    pub(super) body: Option<String>,
    /// How often to poll: `"60s"`. The first poll is made at once. Polls never overlap: one that takes longer
    /// than the interval skips the ticks that it missed, and the rhythm stays.
    #[serde(default)]
    pub(super) interval: Option<Duration>,
    /// When to poll, instead of `interval`, as a cron schedule of five fields, or of six with the seconds in
    /// front: `"0 6 * * MON-FRI"` is six o'clock on workdays.
    #[serde(default)]
    pub(super) schedule: Option<String>,
    /// The time zone of `schedule`: `"Europe/Berlin"`.
    #[serde(default = "utc")]
    pub(super) time_zone: String,
    /// How many polls to make before the source ends. For ever by default.
    #[serde(default)]
    pub(super) times: Option<u64>,
    /// What the answer is: `"json"` (each element of an array is an event, anything else is one event),
    /// `"json_lines"`, `"lines"` (each is an event), or `"text"` (all of it is one event).
    #[serde(default)]
    pub(super) decode: Decode,
    /// Where in a JSON answer the events are: `".data.users"`. An answer without it is rejected.
    #[serde(default)]
    pub(super) items: Option<Path>,
    /// How the answer goes on over several pages, if it does: `{ kind = "link" }`,
    /// `{ kind = "cursor", from = ".next_cursor" }`, `{ kind = "page" }` or
    /// `{ kind = "offset", size = 100 }`. Each page is handed on before the next is fetched.
    #[serde(default)]
    pub(super) pagination: Option<PaginationOptions>,
    /// The largest number of pages of one poll: a guard against an answer without end.
    #[serde(default = "max_pages")]
    pub(super) max_pages: u64,
    /// Whether to send back the `ETag` and `Last-Modified` of the last answer, so that a server can say that
    /// nothing has changed. Not used with `pagination`.
    #[serde(default = "yes")]
    pub(super) conditional: bool,
    /// What identifies an event: `".id"`. An event whose value was seen before is dropped; an event without
    /// the value is kept. What was seen is forgotten when the pipeline stops.
    #[serde(default)]
    pub(super) unique: Option<Path>,
    /// How many values of `unique` are remembered, at least: as many as come in one poll, and more.
    #[serde(default = "unique_events")]
    pub(super) unique_events: usize,
    /// How to ask for what is new only: `{ from = ".updated_at", parameter = "since" }` sends the greatest
    /// `.updated_at` that was seen as the parameter `since` of the next poll. It is kept across restarts,
    /// once the sinks have the events.
    #[serde(default)]
    pub(super) cursor: Option<CursorOptions>,
    #[serde(flatten)]
    pub(super) exchange: ExchangeOptions,
}

fn utc() -> String {
    "UTC".into()
}

fn max_pages() -> u64 {
    1000
}

fn yes() -> bool {
    true
}

fn unique_events() -> usize {
    100_000
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decode {
    /// One JSON value. Each element of an array is an event, anything else is one event.
    #[default]
    Json,
    /// Each line is a JSON value and an event.
    JsonLines,
    /// Each line is an event.
    Lines,
    /// All of it is one event.
    Text,
}

/// How an answer goes on over several pages.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaginationOptions {
    /// How the next page is found: `"link"` (the `Link` header with `rel="next"`), `"cursor"` (a value in
    /// the answer), `"page"` (a number that grows by one) or `"offset"` (the number of events so far).
    pub(super) kind: PaginationKind,
    /// For `cursor`: where in the answer the value for the next page is. The last page has none.
    #[serde(default)]
    pub(super) from: Option<Path>,
    /// For `cursor`, `page` and `offset`: the query parameter that asks for a page. The same as the kind by
    /// default.
    #[serde(default)]
    pub(super) parameter: Option<String>,
    /// For `page` and `offset`: the number of the first page, or the first offset. By default 1 and 0.
    #[serde(default)]
    pub(super) start: Option<u64>,
    /// For `page` and `offset`: how many events to ask for in a page. Not sent by default.
    #[serde(default)]
    pub(super) size: Option<u64>,
    /// The query parameter that carries `size`.
    #[serde(default = "limit")]
    pub(super) size_parameter: String,
    /// For `link`: other hosts that a link may lead to, such as `"api2.example.com"`. They are sent the same
    /// headers, credentials included.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
}

fn limit() -> String {
    "limit".into()
}

/// How the next page is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaginationKind {
    /// The `Link` header with `rel="next"`.
    Link,
    /// A value in the answer.
    Cursor,
    /// A number that grows by one.
    Page,
    /// The number of events so far.
    Offset,
}

/// How to ask for what is new only.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CursorOptions {
    /// Where in an event the value is: `".updated_at"`.
    pub(super) from: Path,
    /// The query parameter of the next poll that carries it: `"since"`.
    pub(super) parameter: String,
    /// What the very first poll sends. By default it is sent without the parameter.
    #[serde(default)]
    pub(super) initial: Option<QueryValue>,
    /// Which of the values seen is kept: `"greatest"` (numbers by size, text by its characters) or `"last"`.
    #[serde(default)]
    pub(super) keep: Keep,
}

/// Which of the values seen is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keep {
    /// The greatest.
    #[default]
    Greatest,
    /// The last.
    Last,
}
