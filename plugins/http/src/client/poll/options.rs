//! The options of the source `http_poll`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::json::Path;
use tidegate_sdk::{ConfigError, Duration};

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
    /// How many polls to make before the source ends. For ever by default. With a `cursor`, the next run goes on where
    /// this one ended; without one, it begins from the start.
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
    /// The largest number of pages of one poll: a guard against an answer without end. With a `cursor`, the next poll
    /// goes on at the page where this one was cut; without one, it begins at the first page.
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
    /// once the sinks have the events. It moves only after a poll that was read to its end.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
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
    /// For `cursor`, `page` and `offset`: where in the JSON `body` the value is put, instead of the query:
    /// `".variables.after"` for GraphQL.
    #[serde(default)]
    pub(super) body_path: Option<Path>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
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
    #[serde(default)]
    pub(super) parameter: Option<String>,
    /// Where in the JSON `body` of the next poll it is put, instead of the query: `".variables.since"`.
    #[serde(default)]
    pub(super) body_path: Option<Path>,
    /// What the very first poll sends. By default it is sent without the parameter.
    #[serde(default)]
    pub(super) initial: Option<QueryValue>,
    /// Which of the values seen is kept: `"greatest"` (numbers by size, text by its characters) or `"last"`.
    #[serde(default)]
    pub(super) keep: Keep,
}

/// Which of the values seen is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keep {
    /// The greatest.
    #[default]
    Greatest,
    /// The last.
    Last,
}

impl PollOptions {
    /// Checks what makes no sense together.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let json = matches!(self.decode, Decode::Json | Decode::JsonLines);
        for (name, given, sensible) in [
            ("items", self.items.is_some(), self.decode == Decode::Json),
            ("unique", self.unique.is_some(), json),
            ("cursor", self.cursor.is_some(), json),
        ] {
            if given && !sensible {
                return Err(ConfigError::at(
                    format!("/{name}"),
                    format!("`{name}` is found in JSON, which this answer is not"),
                )
                .help("leave it out, or set `decode = \"json\"`"));
            }
        }
        for (name, number) in [("max_pages", self.max_pages), ("unique_events", self.unique_events as u64)] {
            if number == 0 {
                return Err(
                    ConfigError::at(format!("/{name}"), "at least 1").help("leave it out for the default")
                );
            }
        }
        let (page, cursor) = (self.pagination.as_ref(), self.cursor.as_ref());
        if let (Some(page), Some(cursor)) = (page, cursor)
            && page.kind != PaginationKind::Link
            && cursor.parameter.as_deref() == Some(page.parameter_name())
        {
            let message = "the cursor and the page are asked for with the same query parameter";
            return Err(
                ConfigError::at("/cursor/parameter", message).help("name the one that the server expects")
            );
        }
        let in_body = [
            ("/pagination/body_path", page.is_some_and(|page| page.body_path.is_some())),
            ("/cursor/body_path", cursor.is_some_and(|cursor| cursor.body_path.is_some())),
        ];
        for (pointer, given) in in_body {
            if given && self.method != AskMethod::Post {
                return Err(
                    ConfigError::at(pointer, "only a POST has a body").help("set `method = \"POST\"`")
                );
            }
        }
        Ok(())
    }

    /// Warns of what is probably a mistake.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        if self.body.is_none() {
            return all;
        }
        let mut warn = |pointer: &str, what: &str| {
            let message = format!("the {what} is in the query, and this request has a body");
            all.push(ConfigError::at(pointer, message).help(
                "a server that looks at the body only sends the same answer again: say with `body_path` where the \
                 value belongs in the body",
            ));
        };
        let page = self.pagination.as_ref();
        if page.is_some_and(|page| page.kind != PaginationKind::Link && page.body_path.is_none()) {
            warn("/pagination", "parameter that asks for a page");
        }
        if self.cursor.as_ref().is_some_and(|cursor| cursor.body_path.is_none()) {
            warn("/cursor", "cursor");
        }
        all
    }
}

impl PaginationOptions {
    fn parameter_name(&self) -> &str {
        let default = match self.kind {
            PaginationKind::Link => "",
            PaginationKind::Cursor => "cursor",
            PaginationKind::Page => "page",
            PaginationKind::Offset => "offset",
        };
        self.parameter.as_deref().unwrap_or(default)
    }
}
