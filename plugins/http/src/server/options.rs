//! The options of `http_server`, and the settings derived from them.

use std::net::IpAddr;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{ConfigError, ConfigErrors, Duration, Hosts, Secret, Size};

use crate::pending::ResultFormat;

/// Listens for HTTP requests and makes events of them. The body of a request becomes one event or several; a
/// request without a body becomes one event of its method, path and query:
/// `{"method": "GET", "path": "/users", "query": {"active": "yes"}}`.
///
/// Each event has the attributes `method`, `path`, `query` (as it was sent), `remote_addr`, `content_type`,
/// and those of `headers`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Address and port to listen on. Port 0 takes any free port, which the log reports. An address that other machines
    /// can reach needs a `token`.
    #[schemars(example = "127.0.0.1:8080")]
    pub(crate) listen: String,
    /// The path that is served, exactly; with `/*` at its end, every path below it. Other paths get 404.
    #[schemars(example = "/events", example = "/hooks/*")]
    pub(crate) path: String,
    /// The methods that are served. Others get 405, except OPTIONS, which lists the methods, and HEAD if GET is served.
    /// These two make no events unless they are listed here.
    #[schemars(example = ["GET"])]
    pub(crate) methods: Vec<Verb>,
    /// The format of a body.
    pub(crate) decode: Decode,
    /// The time and content of the response.
    pub(crate) respond: Respond,
    /// With `respond = "result"`: the format of several results in one response.
    pub(crate) answer_as: AnswerAs,
    /// The token that clients send as `Authorization: Bearer TOKEN`; others get 401. None by default, which only a
    /// loopback address allows.
    #[schemars(example = "${file:/run/secrets/ingest-token}")]
    pub(crate) token: Option<Secret>,
    /// Host names, besides those of loopback, under which clients may reach a server without a `token`: the name that a
    /// reverse proxy passes on in `Host`. Requests with another `Host`, or from a page with another `Origin`, get 403,
    /// because a web page could send them through its reader's browser.
    #[schemars(example = ["events.example.com"])]
    pub(crate) hosts: Vec<String>,
    /// Request headers to keep as attributes: `x-request-id` becomes `header_x_request_id`.
    #[schemars(example = ["x-request-id"])]
    pub(crate) headers: Vec<String>,
    /// The longest time that a client waits for its response with `respond` = `"delivered"` or `"result"`, before it
    /// gets 504.
    pub(crate) time_limit: Duration,
    /// With `respond` = `"delivered"` or `"result"`: continues to process the events of a request that is over (its
    /// `time_limit` has passed, or its client has left). By default the remaining work is cancelled, so that retries
    /// for a client that has left delay no other request.
    pub(crate) run_on: bool,
    /// The largest number of requests a second, averaged over the last second; above it clients get 429. No limit by
    /// default.
    #[schemars(range(min = 1))]
    pub(crate) rate: Option<u32>,
    /// The largest number of requests that wait for the pipeline; above it clients get 503.
    #[schemars(range(min = 1))]
    pub(crate) waiting: usize,
    /// The largest number of bytes that unfinished bodies, waiting requests and held results take together; above it
    /// clients get 503.
    pub(crate) waiting_size: Size,
    /// The largest number of connections. Above it a new one gets 503 and is closed.
    #[schemars(range(min = 1))]
    pub(crate) connections: usize,
    /// The largest number of connections from one address (from one /64 network with IPv6). Behind a reverse proxy all
    /// connections come from one address: set it to the value of `connections` there.
    #[schemars(range(min = 1))]
    pub(crate) connections_per_address: usize,
    /// The largest body as it is sent; a larger one gets 413.
    pub(crate) body_size: Size,
    /// The largest body after decompression; a larger one gets 413 as soon as it exceeds the limit. Also the limit on
    /// the results of one request.
    pub(crate) inflated_size: Size,
    /// The largest number of events in one request; above it the client gets 413.
    #[schemars(range(min = 1))]
    pub(crate) events: usize,
    /// The largest request line with all headers, at least 8 KiB; a larger one gets 431.
    pub(crate) header_size: Size,
    /// The largest number of headers of one request; above it the client gets 431.
    #[schemars(range(min = 1, max = 10000))]
    pub(crate) header_count: usize,
    /// The longest time before the first byte of a new connection. After it the connection is closed.
    pub(crate) first_byte_time: Duration,
    /// The longest time that a request line with its headers may take to arrive. After it the connection is closed.
    pub(crate) header_time: Duration,
    /// The longest time that a body may take to arrive. After it the client gets 408.
    pub(crate) body_time: Duration,
    /// The lowest rate of a body, in bytes a second. A body has `first_byte_time`, and one second more for each
    /// `body_rate` that has arrived; after that the client gets 408.
    pub(crate) body_rate: Size,
    /// The longest time that a connection may be idle between two requests, before it is closed.
    pub(crate) idle_time: Duration,
    /// The longest time that a client may accept no byte of its response, before the connection is closed.
    pub(crate) write_time: Duration,
}

/// A method that may be served.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// The format of a body.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decode {
    /// By `Content-Type`: JSON is an array of events if it begins with `[`, and otherwise one event; NDJSON and other
    /// text are an event a line. Without a type, or with `application/octet-stream`, the first byte decides. A body of
    /// another type, such as a form, is read if it is JSON, and otherwise gets 415.
    #[default]
    Auto,
    /// A JSON value is one event, even an array.
    Json,
    /// Each line is a JSON value and an event.
    JsonLines,
    /// A JSON array; each element is an event.
    JsonArray,
    /// The body as it is, as one event.
    Text,
    /// Each line is an event; empty lines are skipped.
    Lines,
    /// A form (`application/x-www-form-urlencoded`) is one event: an object with a text for each field, and an array
    /// where a field occurs more than once.
    Form,
}

/// The time and content of the response.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Respond {
    /// 202 as soon as the events are in memory. They are lost if the process is killed.
    Accepted,
    /// 200 when the sinks have all events; 422 if one was rejected, 503 if one failed.
    #[default]
    Delivered,
    /// The results of the pipeline, from a sink `http_response`.
    Result,
}

/// The format of several results in one response.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerAs {
    /// As the request: an array as an array, JSON lines as JSON lines, text as lines; a single event as its one result,
    /// an array if there are several. Without a result 204, except that an array is answered by `[]`.
    #[default]
    Request,
    /// Always a JSON array, of none, one or many.
    Array,
    /// Always JSON lines.
    JsonLines,
}

impl AnswerAs {
    /// Returns the format of the response to a request in this format.
    pub(crate) fn format(self, request: ResultFormat) -> ResultFormat {
        match self {
            Self::Request => request,
            Self::Array => ResultFormat::Array,
            Self::JsonLines => ResultFormat::JsonLines,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            path: "/events".to_owned(),
            methods: vec![Verb::Post],
            decode: Decode::Auto,
            respond: Respond::Delivered,
            answer_as: AnswerAs::Request,
            token: None,
            hosts: Vec::new(),
            headers: Vec::new(),
            time_limit: Duration::seconds(30),
            run_on: false,
            rate: None,
            waiting: 1024,
            waiting_size: Size(64 << 20),
            connections: 1024,
            connections_per_address: 256,
            body_size: Size(8 << 20),
            inflated_size: Size(32 << 20),
            events: 1_000_000,
            header_size: Size(64 << 10),
            header_count: 100,
            first_byte_time: Duration::seconds(10),
            header_time: Duration::seconds(10),
            body_time: Duration::seconds(60),
            body_rate: Size(1 << 10),
            idle_time: Duration::seconds(60),
            write_time: Duration::seconds(30),
        }
    }
}

impl Verb {
    /// Returns the method of the protocol.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
            Self::Options => Method::OPTIONS,
        }
    }
}

/// The checked options.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) path: PathRule,
    pub(crate) methods: Vec<Method>,
    /// The value of the header `Allow`.
    pub(crate) allow: HeaderValue,
    /// The hosts that requests may be for; `None` if a token is required.
    pub(crate) hosts: Option<Hosts>,
    /// The headers to keep, and the attribute for each.
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// The rule for the paths that are served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathRule {
    Exact(String),
    /// Every path with this prefix, which ends in a slash.
    Below(String),
}

impl PathRule {
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Below(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

impl Settings {
    /// Checks the options.
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(check_listen(&options));
        errors.keep(check_sizes(&options));
        let rule = match options.path.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => PathRule::Below(prefix.to_owned()),
            _ => PathRule::Exact(options.path.clone()),
        };
        let star = matches!(&rule, PathRule::Exact(path) if path.contains(['*', '?', '#']));
        if !options.path.starts_with('/') || star {
            errors.push(
                ConfigError::at("/path", format!("`{}` is not a path", options.path))
                    .help("write it like \"/events\", or \"/events/*\" for every path below"),
            );
        }
        if options.methods.is_empty() {
            errors
                .push(ConfigError::at("/methods", "no method is served").help("name one, such as \"POST\""));
        }
        let methods: Vec<Method> = options.methods.iter().map(|verb| verb.method()).collect();
        let mut allowed = methods.clone();
        allowed.extend(methods.contains(&Method::GET).then_some(Method::HEAD));
        allowed.push(Method::OPTIONS);
        let mut names: Vec<&str> = Vec::new();
        for method in &allowed {
            if !names.contains(&method.as_str()) {
                names.push(method.as_str());
            }
        }
        let allow = HeaderValue::from_str(&names.join(", ")).expect("names of methods are ASCII");
        let headers = errors.keep(kept_headers(&options.headers));
        let hosts = Hosts::new(&options.hosts).map_err(|name| {
            ConfigError::at("/hosts", format!("`{name}` is not the name of a host"))
                .help("write it like \"events.example.com\", without `http://` and without a path")
        });
        let hosts = errors.keep(hosts);
        let (Some(headers), Some(hosts)) = (headers, hosts) else { return Err(errors.into_error()) };
        let hosts = options.token.is_none().then_some(hosts);
        errors.finish(Self { path: rule, methods, allow, hosts, headers, options })
    }
}

fn check_listen(options: &Options) -> Result<(), ConfigError> {
    let parts = options.listen.rsplit_once(':').filter(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok() && (!host.contains(':') || host.starts_with('['))
    });
    let is_empty = options.token.as_ref().is_some_and(|token| token.expose().trim().is_empty());
    let mut errors = ConfigErrors::default();
    errors.check(!is_empty, || {
        ConfigError::at("/token", "the token is empty")
            .help("set a long random text, or leave the option out on a loopback address")
    });
    let Some((host, _)) = parts else {
        errors.push(
            ConfigError::at("/listen", format!("`{}` is not an address and port", options.listen))
                .help("write it like \"127.0.0.1:8080\", \"[::1]:8080\" or \"0.0.0.0:8080\""),
        );
        return Err(errors.into_error());
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost"
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    errors.check(loopback || options.token.is_some(), || {
        let message =
            format!("`{}` can be reached from other machines, but there is no token", options.listen);
        ConfigError::at("/listen", message)
            .help("set `token` (such as \"${file:/run/secrets/token}\"), or listen on 127.0.0.1")
    });
    errors.finish(())
}

fn check_sizes(options: &Options) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    for (pointer, size) in [("/body_size", options.body_size), ("/inflated_size", options.inflated_size)] {
        if size.bytes() == 0 || size.bytes() >= u64::from(u32::MAX) {
            errors.push(
                ConfigError::at(pointer, format!("{size} is out of range"))
                    .help("use at least 1B and less than 4GiB"),
            );
        }
    }
    if options.header_size.bytes() < 8 << 10 || options.header_size.bytes() > 16 << 20 {
        errors.push(
            ConfigError::at("/header_size", format!("{} is out of range", options.header_size))
                .help("use 8KiB to 16MiB"),
        );
    }
    let counts = [
        ("/waiting", options.waiting),
        ("/connections", options.connections),
        ("/connections_per_address", options.connections_per_address),
        ("/events", options.events),
        ("/header_count", options.header_count),
        ("/rate", options.rate.map_or(1, |rate| rate as usize)),
    ];
    for (pointer, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
        errors.push(ConfigError::at(pointer, "the limit is 0").help("use at least 1"));
    }
    errors.finish(())
}

fn kept_headers(names: &[String]) -> Result<Vec<(HeaderName, String)>, ConfigError> {
    let mut errors = ConfigErrors::default();
    let mut kept = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ConfigError::at(format!("/headers/{index}"), format!("`{name}` is not the name of a header"))
                .help("write it like \"x-request-id\"")
        });
        let Some(known) = errors.keep(known) else { continue };
        if known == hyper::header::AUTHORIZATION {
            errors.push(
                ConfigError::at(
                    format!("/headers/{index}"),
                    "`authorization` holds a secret, which attributes would show",
                )
                .help("remove this header"),
            );
            continue;
        }
        let attribute = format!("header_{}", known.as_str().replace('-', "_"));
        kept.push((known, attribute));
    }
    errors.finish(kept)
}
