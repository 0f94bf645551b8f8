//! jq over a whole response. A plain path is answered from the bytes.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tidegate_query::{COMPILE_STACK, Failure, Flow, Limits, Query, ReadOptions, Val, on_stack};
use tidegate_sdk::ConfigError;
use tidegate_sdk::framing::without_mark;
use tidegate_sdk::json::{self, Path};

/// The longest query, in bytes.
const LONGEST: usize = 8 << 10;

/// The steps of one evaluation. A page of 32 MiB takes about one for each of its values.
const STEPS: u64 = 20_000_000;

/// The nesting of a result.
const DEPTH: usize = 512;

/// The variables of a query, without their sign.
const VARIABLES: [&str; 3] = ["status", "headers", "count"];

/// A jq query over a response. Its input is the whole body, or null if that is not JSON.
#[derive(Clone)]
pub(crate) struct Expression {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Answered from the bytes.
    Path(Path),
    Query(Arc<Query>),
}

/// A response, as expressions see it. Its body is parsed at most once.
pub(crate) struct Document<'a> {
    pub(crate) body: &'a [u8],
    status: StatusCode,
    headers: &'a HeaderMap,
    /// The number of events in the response.
    pub(crate) count: Cell<u64>,
    /// The format of the body is JSON.
    is_json: bool,
    parsed: OnceCell<Result<Val, String>>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(body: &'a [u8], status: StatusCode, headers: &'a HeaderMap, is_json: bool) -> Self {
        let body = without_mark(body);
        Self { body, status, headers, count: Cell::new(0), is_json, parsed: OnceCell::new() }
    }

    fn value(&self) -> Result<Val, String> {
        let parse = || {
            if !self.is_json || self.body.trim_ascii().is_empty() {
                return Ok(Val::Null);
            }
            let text = std::str::from_utf8(self.body)
                .map_err(|error| format!("malformed JSON: not UTF-8 at byte {}", error.valid_up_to()))?;
            tidegate_query::read(text, ReadOptions::STRICT)
                .map_err(|(at, reason)| format!("malformed JSON at byte {at}: {reason}"))
        };
        self.parsed.get_or_init(parse).clone()
    }

    /// Returns the value at `path`, if the body is JSON and has one.
    fn find(&self, path: &Path) -> Result<Option<&'a [u8]>, String> {
        if self.is_json && !self.body.trim_ascii().is_empty() { path.find(self.body) } else { Ok(None) }
    }

    fn variables(&self, query: &str) -> Vec<Val> {
        let headers = if query.contains("$headers") { headers_of(self.headers) } else { Val::Null };
        vec![Val::from(usize::from(self.status.as_u16())), headers, Val::from(self.count.get() as usize)]
    }
}

/// Returns the headers as an object. Headers of one name are joined.
fn headers_of(headers: &HeaderMap) -> Val {
    let mut members = serde_json::Map::new();
    for name in headers.keys() {
        let values: Vec<Cow<'_, str>> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        members.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    let text = serde_json::Value::Object(members).to_string();
    tidegate_query::read(&text, ReadOptions::STRICT).unwrap_or_default()
}

impl Expression {
    /// Compiles the value of the option at `pointer`.
    ///
    /// # Errors
    /// The first mistake in it, underlined.
    pub(crate) fn new(text: &str, pointer: &str) -> Result<Self, ConfigError> {
        if let Ok(path) = text.parse::<Path>() {
            return Ok(Self { text: text.trim().to_owned(), kind: Kind::Path(path) });
        }
        if text.len() > LONGEST {
            return Err(ConfigError::at(pointer, format!("the query is longer than {LONGEST} bytes")));
        }
        let compiled = on_stack(COMPILE_STACK, || Query::new(text, &VARIABLES)).map_err(|error| {
            ConfigError::at(pointer, format!("no thread for a query could start: {error}"))
        })?;
        match compiled {
            Ok(query) => Ok(Self { text: text.to_owned(), kind: Kind::Query(Arc::new(query)) }),
            Err(problem) => {
                let help = problem.help.unwrap_or_else(|| {
                    "it is jq over the whole response, such as `.data.users`, with $status, $headers and $count"
                        .to_owned()
                });
                Err(ConfigError::at(pointer, problem.message).range(problem.span).help(help))
            }
        }
    }

    /// Compiles the value of an option that may be missing.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn optional(text: Option<&str>, pointer: &str) -> Result<Option<Self>, ConfigError> {
        text.map(|text| Self::new(text, pointer)).transpose()
    }

    /// Returns the path, if the expression is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Path(path) => Some(path),
            Kind::Query(_) => None,
        }
    }

    /// Returns whether the expression needs the parsed body.
    pub(crate) fn is_query(&self) -> bool {
        self.path().is_none()
    }

    /// Returns the first result as text; `None` if that is null, false or empty, or if there is no result.
    ///
    /// # Errors
    /// The reason why there is no such text.
    pub(crate) fn text(&self, document: &Document<'_>) -> Result<Option<String>, String> {
        let found = match &self.kind {
            Kind::Path(path) => match document.find(path)? {
                Some([b'{' | b'[', ..]) => return Err(self.not_plain()),
                None | Some(b"null") => None,
                Some(raw) => Some(json::text(raw).into_owned()),
            },
            Kind::Query(query) => match self.first(query, document)? {
                Val::Null | Val::Bool(false) => None,
                Val::Text(text) => Some(text.to_string()),
                Val::Array(_) | Val::Object(_) => return Err(self.not_plain()),
                value => Some(written(&value, 64)?),
            },
        };
        Ok(found.filter(|text| !text.is_empty() && *text != "false"))
    }

    /// Returns the first result; null if there is none.
    ///
    /// # Errors
    /// The reason why the evaluation failed.
    pub(crate) fn value(&self, document: &Document<'_>) -> Result<Val, String> {
        match &self.kind {
            Kind::Path(path) => {
                let raw = document.find(path)?.unwrap_or(b"null");
                let text = std::str::from_utf8(raw).map_err(|error| error.to_string())?;
                tidegate_query::read(text, ReadOptions::STRICT).map_err(|(_, reason)| reason)
            }
            Kind::Query(query) => self.first(query, document),
        }
    }

    /// Returns whether the first result is neither false nor null.
    ///
    /// # Errors
    /// The reason why the evaluation failed.
    pub(crate) fn holds(&self, document: &Document<'_>) -> Result<bool, String> {
        Ok(self.value(document)?.is_true())
    }

    /// Writes the results as one JSON array, of at most `limit` bytes. A result that is an array stands for its
    /// elements, and null for nothing. A path is not evaluated here.
    ///
    /// # Errors
    /// The reason why the evaluation failed.
    pub(crate) fn elements(&self, document: &Document<'_>, limit: usize) -> Result<Option<Bytes>, String> {
        let Kind::Query(query) = &self.kind else { return Ok(None) };
        let mut out = vec![b'['];
        let mut written = Ok(());
        self.evaluate(query, document, |value| {
            if matches!(value, Val::Null) {
                return Flow::Next;
            }
            let start = out.len();
            written = tidegate_query::write(&value, &mut out, limit.saturating_sub(start), DEPTH);
            let Ok(()) = written else { return Flow::Enough };
            if out.get(start) == Some(&b'[') {
                out.pop();
                out.remove(start);
            }
            if out.len() > start {
                out.push(b',');
            }
            Flow::Next
        })?;
        written.map_err(|_| format!("the results of `{}` are over `inflated_size`", self.text))?;
        if out.last() == Some(&b',') {
            out.pop();
        }
        out.push(b']');
        Ok(Some(out.into()))
    }

    fn first(&self, query: &Query, document: &Document<'_>) -> Result<Val, String> {
        let mut first = Val::Null;
        self.evaluate(query, document, |value| {
            first = value;
            Flow::Enough
        })?;
        Ok(first)
    }

    fn evaluate(
        &self,
        query: &Query,
        document: &Document<'_>,
        each: impl FnMut(Val) -> Flow,
    ) -> Result<(), String> {
        let limits = Limits { steps: STEPS, ..Limits::default() };
        let log = |_: &Val| {};
        let variables = document.variables(&self.text);
        query.evaluate(document.value()?, variables, &limits, &log, each).map_err(|failure| match failure {
            Failure::Error(_) => format!("`{}`: {failure}", self.text),
            failure => format!("`{}`: {failure} for this response", self.text),
        })
    }

    fn not_plain(&self) -> String {
        format!("`{}` is not text or a number in this response", self.text)
    }
}

fn written(value: &Val, limit: usize) -> Result<String, String> {
    let mut out = Vec::new();
    tidegate_query::write(value, &mut out, limit, DEPTH).map_err(|_| "the value is too long".to_owned())?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
