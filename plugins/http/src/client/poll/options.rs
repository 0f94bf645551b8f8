//! The options of the source `http_poll`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::json::Path;
use tidegate_sdk::{ConfigError, ConfigErrors, Duration};

use crate::client::options::{ClientOptions, QueryValue, RequestMethod};

/// Polls a URL, and makes events of the responses.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollOptions {
    /// The URL to poll: `"https://api.example.com/users"`.
    pub(super) url: String,
    /// `"GET"` or `"POST"`.
    #[serde(default)]
    pub(super) method: RequestMethod,
    /// The body to send with each request, for example a GraphQL query.
    #[serde(default)]
    pub(super) body: Option<String>,
    /// The interval between the starts of polls: `"60s"`. The first poll starts at once. Polls never overlap: a poll
    /// that takes longer than the interval skips the missed ticks, and the rhythm stays.
    #[serde(default)]
    pub(super) interval: Option<Duration>,
    /// The schedule of polls, instead of `interval`: five cron fields, or six with the seconds first. `"0 6 * *
    /// MON-FRI"` is six o'clock on workdays.
    #[serde(default)]
    pub(super) schedule: Option<String>,
    /// The time zone of `schedule`: `"Europe/Berlin"`.
    #[serde(default = "utc")]
    pub(super) time_zone: String,
    /// The number of polls after which the source ends. Not limited by default. With a `cursor`, the next run continues
    /// where this one ended; without one, it begins from the start.
    #[schemars(range(min = 1))]
    #[serde(default)]
    pub(super) times: Option<u64>,
    /// The format of a response: `"json"` (each element of an array is an event, any other value is one event),
    /// `"json_lines"`, `"lines"` (each line is an event), or `"text"` (the whole response is one event).
    #[serde(default)]
    pub(super) decode: Decode,
    /// The events in a JSON response: a path, such as `".data.users"`, or jq over the whole response. An array stands
    /// for its elements, null for no events.
    #[serde(default)]
    pub(super) items: Option<String>,
    /// The fate of a response without the path of `items`: `"reject"` it, or take it as `"empty"`, for servers that
    /// leave the key out when there are no events.
    #[serde(default)]
    pub(super) missing: MissingItems,
    /// The pagination of the server, if there is one: `{ kind = "link" }`, `{ kind = "cursor", from = ".next_cursor"
    /// }`, `{ kind = "page" }` or `{ kind = "offset", size = 100 }`. Each page is passed on before the next is fetched.
    #[serde(default)]
    pub(super) pagination: Option<PaginationOptions>,
    /// The largest number of pages of one poll, a guard against endless responses. With a `cursor`, the next poll
    /// continues at the page where this one stopped; without one, it begins at the first page.
    #[schemars(range(min = 1))]
    #[serde(default = "max_pages")]
    pub(super) max_pages: u64,
    /// Sends the `ETag` and `Last-Modified` of the last response, so that a server can respond that nothing has
    /// changed. Not used with `pagination`.
    #[serde(default = "yes")]
    pub(super) conditional: bool,
    /// The path of an event's identity: `".id"`. An event whose value was seen before is dropped; an event without the
    /// value is kept. The values are forgotten when the pipeline stops.
    #[serde(default)]
    pub(super) unique: Option<Path>,
    /// The smallest number of values of `unique` to remember. It should exceed the number of events in one poll.
    #[schemars(range(min = 1))]
    #[serde(default = "unique_events")]
    pub(super) unique_events: usize,
    /// Requests new events only: `{ from = ".updated_at", parameter = "since" }` sends the greatest `.updated_at` seen
    /// as the parameter `since` of the next poll. The value is stored across restarts once the sinks have the events,
    /// and moves only after a complete poll.
    #[serde(default)]
    pub(super) cursor: Option<CursorOptions>,
    #[serde(flatten)]
    pub(super) client: ClientOptions,
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

/// The format of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decode {
    /// A JSON value. Each element of an array is an event, any other value is one event.
    #[default]
    Json,
    /// Each line is a JSON value and an event.
    JsonLines,
    /// Each line is an event.
    Lines,
    /// The whole response is one event.
    Text,
}

/// The fate of a response without the path of `items`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingItems {
    /// The response is rejected.
    #[default]
    Reject,
    /// The response has no events.
    Empty,
}

/// The pagination of a server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaginationOptions {
    /// The reference to the next page: `"link"` (a URL, in the `Link` header with `rel="next"` or at `from`),
    /// `"cursor"` (a value in the response), `"page"` (a number that grows by one) or `"offset"` (the number of events
    /// so far).
    pub(super) kind: PaginationKind,
    /// The reference in the response, as a path or jq over the whole response: the URL of the next page for `link`
    /// (`'."@odata.nextLink"'`), a value for `cursor` (`".next_cursor"`, `".data[-1].id"`). Null, false or an empty
    /// text ends the poll.
    #[serde(default)]
    pub(super) from: Option<String>,
    /// Ends the poll after a response for which this holds, in jq over the whole response: `".has_more == false"`,
    /// `"$count < 100"`. The variables are `$count` (the events of the page), `$status` and `$headers`.
    #[serde(default)]
    pub(super) stop: Option<String>,
    /// The pause before each page but the first: `"200ms"`.
    #[serde(default)]
    pub(super) delay: Option<Duration>,
    /// For `cursor`, `page` and `offset`: the query parameter of the page. The same as the kind by default. A placeholder
    /// `{page}` in the `url`, a `query` parameter, a header or as a whole text of the `body` takes its place.
    #[serde(default)]
    pub(super) parameter: Option<String>,
    /// For `cursor`, `page` and `offset`: the path in the JSON `body` for the value, instead of the query:
    /// `".variables.after"` for GraphQL.
    #[serde(default)]
    pub(super) body_path: Option<Path>,
    /// For `page` and `offset`: the number of the first page, or the first offset. By default 1 and 0.
    #[serde(default)]
    pub(super) start: Option<u64>,
    /// For `page` and `offset`: the number of events to request in a page. Not sent by default.
    #[serde(default)]
    pub(super) size: Option<u64>,
    /// The query parameter that carries `size`.
    #[serde(default = "limit")]
    pub(super) size_parameter: String,
    /// For `link`: other hosts that a link may lead to, such as `"api2.example.com"`. They receive the same headers,
    /// credentials included.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
}

fn limit() -> String {
    "limit".into()
}

/// The reference to the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaginationKind {
    /// A URL, in the `Link` header with `rel="next"` or in the response.
    Link,
    /// A value in the response.
    Cursor,
    /// A number that grows by one.
    Page,
    /// The number of events so far.
    Offset,
}

/// The cursor for new events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CursorOptions {
    /// The path of the value in an event: `".updated_at"`.
    pub(super) from: Path,
    /// The query parameter of the next poll that carries it: `"since"`. A placeholder `{cursor}` in the `url`, a `query`
    /// parameter, a header or as a whole text of the `body` takes its place.
    #[serde(default)]
    pub(super) parameter: Option<String>,
    /// The path in the JSON `body` of the next poll for the value, instead of the query: `".variables.since"`.
    #[serde(default)]
    pub(super) body_path: Option<Path>,
    /// The value that the very first poll sends. By default it sends none.
    #[serde(default)]
    pub(super) initial: Option<QueryValue>,
    /// The value that is kept: `"greatest"` (numbers by size, text by its characters) or `"last"`.
    #[serde(default)]
    pub(super) keep: Keep,
}

/// The value that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keep {
    /// The greatest value.
    #[default]
    Greatest,
    /// The last value.
    Last,
}

impl PollOptions {
    /// Checks combinations of options.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        let json = matches!(self.decode, Decode::Json | Decode::JsonLines);
        for (name, given, sensible) in [
            ("items", self.items.is_some(), self.decode == Decode::Json),
            ("unique", self.unique.is_some(), json),
            ("cursor", self.cursor.is_some(), json),
        ] {
            if given && !sensible {
                errors.push(
                    ConfigError::at(format!("/{name}"), format!("`{name}` needs a response in JSON"))
                        .help("leave it out, or set `decode = \"json\"`"),
                );
            }
        }
        if self.missing == MissingItems::Empty && self.items.is_none() {
            errors.push(
                ConfigError::at("/missing", "`missing` is about the path of `items`, and there is none")
                    .help("leave it out, or name the path of the events with `items`"),
            );
        }
        for (name, number) in [
            ("max_pages", self.max_pages),
            ("unique_events", self.unique_events as u64),
            ("times", self.times.unwrap_or(1)),
        ] {
            if number == 0 {
                errors.push(
                    ConfigError::at(format!("/{name}"), "at least 1").help("leave it out for the default"),
                );
            }
        }
        let (page, cursor) = (self.pagination.as_ref(), self.cursor.as_ref());
        if let (Some(page), Some(cursor)) = (page, cursor)
            && page.kind != PaginationKind::Link
            && cursor.parameter.as_deref() == Some(page.parameter_name())
        {
            let message = "the cursor and the page have the same query parameter";
            errors.push(
                ConfigError::at("/cursor/parameter", message).help("name the one that the server expects"),
            );
        }
        let in_body = [
            ("/pagination/body_path", page.is_some_and(|page| page.body_path.is_some())),
            ("/cursor/body_path", cursor.is_some_and(|cursor| cursor.body_path.is_some())),
        ];
        for (pointer, given) in in_body {
            if given && self.method != RequestMethod::Post {
                errors
                    .push(ConfigError::at(pointer, "only a POST has a body").help("set `method = \"POST\"`"));
            }
        }
        errors.finish(())
    }

    /// Warns of probable mistakes.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        if self.body.is_none() {
            return all;
        }
        let mut warn = |pointer: &str, what: &str| {
            let message = format!("the {what} is in the query, and this request has a body");
            all.push(ConfigError::at(pointer, message).help(
                "a server that looks at the body only sends the same response again: say with `body_path` where the \
                 value belongs in the body",
            ));
        };
        let holds = |name: &str| self.body.as_ref().is_some_and(|body| body.contains(name));
        let page = self.pagination.as_ref().filter(|_| !holds("{page}"));
        if page.is_some_and(|page| page.kind != PaginationKind::Link && page.body_path.is_none()) {
            warn("/pagination", "parameter that asks for a page");
        }
        if self.cursor.as_ref().is_some_and(|cursor| cursor.parameter.is_some()) {
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
