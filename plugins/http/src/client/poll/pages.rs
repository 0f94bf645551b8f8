//! The addresses of pages, and how an answer leads to the next one. Pure.

#[cfg(test)]
mod tests;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::ConfigError;
use tidegate_sdk::json::Path;

use super::options::{PaginationKind, PaginationOptions};
use crate::client::link;

/// How the next page is found.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    /// There is one page.
    One,
    /// By the `Link` header; to these hosts beside the one that was asked.
    Link { hosts: Vec<String> },
    /// By a value in the answer.
    Cursor { from: Path, parameter: Parameter },
    /// By a number that grows by one.
    Number { parameter: Parameter, start: u64, size: Option<(String, u64)> },
    /// By the number of events so far.
    Offset { parameter: Parameter, start: u64, size: Option<(String, u64)> },
}

/// Where a request says which page it asks for.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// The query parameter.
    pub(super) name: String,
    /// The place in the body, as a JSON pointer. Then the query says nothing.
    pub(super) pointer: Option<String>,
}

/// Which page to ask for, if not the first. A part of the stored position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Next {
    /// The whole URL.
    Link(String),
    /// The value of the cursor.
    Cursor(String),
    /// The number of the page.
    Number(u64),
    /// The offset.
    Offset(u64),
}

/// What the walk looks at in an answer.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) count: u64,
}

impl Page<'_> {
    /// Whether the page may hold as many events as the server gives at once. Page sizes are round numbers, or what the
    /// query asks for.
    pub(super) fn may_be_full(&self) -> bool {
        let is_round = self.count >= 10 && self.count.is_multiple_of(5);
        let is_asked_for = || self.url.query_pairs().any(|(_, value)| value.parse() == Ok(self.count));
        self.count > 0 && (is_round || is_asked_for())
    }
}

impl Pages {
    pub(super) fn new(options: Option<PaginationOptions>) -> Result<Self, ConfigError> {
        let Some(options) = options else { return Ok(Self::One) };
        let PaginationOptions { kind, from, parameter, body_path, start, size, size_parameter, hosts } =
            options;
        let superfluous = |name: &str| {
            ConfigError::at(
                format!("/pagination/{name}"),
                format!("`{name}` does not belong to this kind of pagination"),
            )
            .help("leave it out, or choose another kind")
        };
        let numbered = matches!(kind, PaginationKind::Page | PaginationKind::Offset);
        for (name, given, belongs) in [
            ("from", from.is_some(), kind == PaginationKind::Cursor),
            ("parameter", parameter.is_some(), kind != PaginationKind::Link),
            ("body_path", body_path.is_some(), kind != PaginationKind::Link),
            ("start", start.is_some(), numbered),
            ("size", size.is_some(), numbered),
            ("hosts", !hosts.is_empty(), kind == PaginationKind::Link),
        ] {
            if given && !belongs {
                return Err(superfluous(name));
            }
        }
        let pointer = body_path.map(|path| path.pointer());
        let named =
            |default: &str| Parameter { name: parameter.unwrap_or_else(|| default.to_owned()), pointer };
        let size = size.map(|size| (size_parameter, size));
        Ok(match kind {
            PaginationKind::Link => Self::Link { hosts },
            PaginationKind::Cursor => Self::Cursor {
                from: from.ok_or_else(|| {
                    ConfigError::at(
                        "/pagination",
                        "`from` is missing: where in the answer the next cursor is",
                    )
                    .help("for example `pagination = { kind = \"cursor\", from = \".next_cursor\" }`")
                })?,
                parameter: named("cursor"),
            },
            PaginationKind::Page => {
                Self::Number { parameter: named("page"), start: start.unwrap_or(1), size }
            }
            PaginationKind::Offset => {
                Self::Offset { parameter: named("offset"), start: start.unwrap_or(0), size }
            }
        })
    }

    /// The number of events to a page that is asked for.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Number { size, .. } | Self::Offset { size, .. } => size.as_ref().map(|(_, size)| *size),
            Self::One | Self::Link { .. } | Self::Cursor { .. } => None,
        }
    }

    /// Where a request says which page it asks for, if it does.
    pub(super) fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::One | Self::Link { .. } => None,
            Self::Cursor { parameter, .. }
            | Self::Number { parameter, .. }
            | Self::Offset { parameter, .. } => Some(parameter),
        }
    }

    /// The value that asks for a page, and its place in the body.
    pub(super) fn in_body(&self, next: Option<&Next>) -> Option<(&str, Value)> {
        let pointer = self.parameter()?.pointer.as_deref()?;
        let value = match (self, next) {
            (_, Some(Next::Cursor(value))) => Value::String(value.clone()),
            (_, Some(Next::Number(number) | Next::Offset(number))) => (*number).into(),
            (Self::Number { start, .. } | Self::Offset { start, .. }, None) => (*start).into(),
            _ => return None,
        };
        Some((pointer, value))
    }

    /// Where the server should say where the next page is, if there is no sign of it on `page`.
    pub(super) fn missing_lead(&self, page: &Page<'_>) -> Option<String> {
        match self {
            Self::Link { .. } if !page.headers.contains_key(LINK) => Some("`Link` header".into()),
            Self::Cursor { from, .. } if matches!(from.find(page.body), Ok(None)) => {
                Some(format!("`{from}`"))
            }
            _ => None,
        }
    }

    /// Whether a page that leads nowhere says by other headers that there is more.
    pub(super) fn say_more(&self, page: &Page<'_>) -> bool {
        let number = |name: &str| page.headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let more = number("x-next-page").is_some()
            || number("x-total-pages").is_some_and(|pages| pages > 1)
            || number("x-total-count").or_else(|| number("x-total")).is_some_and(|total| total > page.count);
        matches!(self, Self::Link { .. }) && page.count > 0 && more && !page.headers.contains_key(LINK)
    }

    /// The page after one that cannot be read, if that can be known. `largest` is the most events of a page so far.
    pub(super) fn beyond(
        &self,
        now: Option<&Next>,
        base: &Url,
        page: &Page<'_>,
        largest: u64,
    ) -> Option<Next> {
        let count = match self {
            Self::One | Self::Cursor { .. } => return None,
            Self::Link { .. } | Self::Number { .. } => 1,
            // What servers give counts, not what was asked for: they may give less.
            Self::Offset { size, .. } if largest == 0 => size.as_ref().map(|(_, size)| *size)?,
            Self::Offset { .. } => largest,
        };
        self.after(now, base, &Page { count, ..*page }).ok().flatten()
    }

    /// Whether a page is known by its number, so that one behind the last may not exist.
    pub(super) fn are_numbered(&self) -> bool {
        matches!(self, Self::Number { .. } | Self::Offset { .. })
    }

    /// Whether a stored place is one of this kind of pages, and on a host that may be asked.
    pub(super) fn lead_to(&self, next: &Next, base: &Url) -> bool {
        match (self, next) {
            (Self::Link { hosts }, Next::Link(link)) => {
                Url::parse(link).is_ok_and(|link| check_host(&link, base, hosts).is_ok())
            }
            (Self::Cursor { .. }, Next::Cursor(_))
            | (Self::Number { .. }, Next::Number(_))
            | (Self::Offset { .. }, Next::Offset(_)) => true,
            _ => false,
        }
    }

    /// The URL of a page. `parameters` are those of the poll.
    pub(super) fn url(&self, base: &Url, parameters: &[(&str, &str)], next: Option<&Next>) -> Url {
        if let Some(Next::Link(link)) = next
            && let Ok(url) = Url::parse(link)
        {
            return url;
        }
        let mut all: Vec<(&str, String)> =
            parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let named = self.parameter().filter(|parameter| parameter.pointer.is_none());
        let name = named.map(|parameter| parameter.name.as_str());
        match (self, next) {
            (Self::Cursor { .. }, Some(Next::Cursor(value))) => {
                all.extend(name.map(|name| (name, value.clone())));
            }
            (Self::Number { start, size, .. }, next) => {
                let number = if let Some(Next::Number(number)) = next { *number } else { *start };
                all.extend(name.map(|name| (name, number.to_string())));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            (Self::Offset { start, size, .. }, next) => {
                let offset = if let Some(Next::Offset(offset)) = next { *offset } else { *start };
                all.extend(name.map(|name| (name, offset.to_string())));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            _ => {}
        }
        with_parameters(base, &all)
    }

    /// The page after `page`; `None` if that is the last.
    ///
    /// # Errors
    /// Why the next page cannot be asked for.
    pub(super) fn after(
        &self,
        now: Option<&Next>,
        base: &Url,
        page: &Page<'_>,
    ) -> Result<Option<Next>, String> {
        match self {
            Self::One => Ok(None),
            Self::Link { hosts } => {
                let Some(target) = link::next(page.headers, page.url) else { return Ok(None) };
                let link = page
                    .url
                    .join(&target)
                    .map_err(|error| format!("the link to the next page is not a URL: {error}"))?;
                check_host(&link, base, hosts)?;
                Ok(Some(Next::Link(link.into())))
            }
            Self::Cursor { from, .. } => {
                if page.body.trim_ascii().is_empty() {
                    return Ok(None);
                }
                let value = from.find_text(page.body)?.filter(|value| !value.is_empty() && *value != "false");
                Ok(value.map(|value| Next::Cursor(value.into_owned())))
            }
            _ if page.count == 0 => Ok(None),
            Self::Number { start, .. } => {
                let number = if let Some(Next::Number(number)) = now { *number } else { *start };
                Ok(Some(Next::Number(number.saturating_add(1))))
            }
            Self::Offset { start, .. } => {
                let offset = if let Some(Next::Offset(offset)) = now { *offset } else { *start };
                Ok(Some(Next::Offset(offset.saturating_add(page.count))))
            }
        }
    }
}

/// `base` with these parameters, in place of any of the same names.
fn with_parameters(base: &Url, parameters: &[(&str, String)]) -> Url {
    let mut url = base.clone();
    if parameters.is_empty() {
        return url;
    }
    let known = base.query_pairs().filter(|(known, _)| parameters.iter().all(|(name, _)| known != name));
    let known: Vec<_> = known.collect();
    url.query_pairs_mut().clear().extend_pairs(known).extend_pairs(parameters);
    url
}

fn check_host(link: &Url, base: &Url, hosts: &[String]) -> Result<(), String> {
    let host = link.host_str().unwrap_or_default();
    let secure = link.scheme() == base.scheme() || link.scheme() == "https";
    let listed = matches!(link.scheme(), "http" | "https") && hosts.iter().any(|known| known == host);
    if link.origin() == base.origin() || (secure && listed) {
        return Ok(());
    }
    Err(format!(
        "the next page is on another host, `{host}`; if that is right, say so: `hosts = [\"{host}\"]`"
    ))
}
