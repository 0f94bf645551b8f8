//! The URLs of pages, and the reference to the next page. Pure.

#[cfg(test)]
mod tests;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{ConfigError, ConfigErrors};

use super::options::{PaginationKind, PaginationOptions};
use crate::client::link_header;

/// The pagination of a server.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    /// A single page.
    One,
    /// A URL in the `Link` header, or in the response, on the same host or one of these.
    Link { from: Option<String>, hosts: Vec<String> },
    /// A value in the response.
    Cursor { from: String, parameter: Parameter },
    /// A number that grows by one.
    Number { parameter: Parameter, start: u64, size: Option<(String, u64)> },
    /// The number of events so far.
    Offset { parameter: Parameter, start: u64, size: Option<(String, u64)> },
}

/// The place of the page in a request.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// The query parameter.
    pub(super) name: String,
    pub(super) place: Place,
}

/// The place of a value in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The query, under the name of the parameter.
    Query,
    /// A JSON pointer into the body.
    Body(String),
    /// A placeholder.
    Placeholder,
}

/// The reference to the next page in a response, and the condition that ends the poll.
#[derive(Clone, Debug, Default)]
pub(super) struct Lead {
    /// The value of `from`.
    pub(super) next: Option<String>,
    /// Set if the response has no member that `from` names.
    pub(super) is_absent: bool,
    /// Set if the condition `stop` holds.
    pub(super) stops: bool,
    /// The reason why one of them is not known.
    pub(super) fault: Option<String>,
}

/// A page other than the first. A part of the stored position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PageKey {
    /// The whole URL.
    Link(String),
    /// The value of the cursor.
    Cursor(String),
    /// The number of the page.
    Number(u64),
    /// The offset.
    Offset(u64),
}

/// A page, as far as the walk needs it.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) count: u64,
    pub(super) lead: &'a Lead,
}

impl Page<'_> {
    /// Returns whether the page may hold as many events as the server sends at once. Page sizes are round numbers, or a
    /// parameter of the query.
    pub(super) fn may_be_full(&self) -> bool {
        let is_round = self.count >= 10 && self.count.is_multiple_of(5);
        let is_asked_for = || self.url.query_pairs().any(|(_, value)| value.parse() == Ok(self.count));
        self.count > 0 && (is_round || is_asked_for())
    }
}

impl Pages {
    /// Makes the pagination. `is_placed` is set if a placeholder carries the page.
    pub(super) fn new(options: Option<PaginationOptions>, is_placed: bool) -> Result<Self, ConfigError> {
        let Some(options) = options else { return Ok(Self::One) };
        let PaginationOptions {
            kind, from, parameter, body_path, start, size, size_parameter, hosts, ..
        } = options;
        let mut errors = ConfigErrors::default();
        let superfluous = |name: &str| {
            ConfigError::at(
                format!("/pagination/{name}"),
                format!("`{name}` does not belong to this kind of pagination"),
            )
            .help("leave it out, or choose another kind")
        };
        let numbered = matches!(kind, PaginationKind::Page | PaginationKind::Offset);
        for (name, given, belongs) in [
            ("from", from.is_some(), matches!(kind, PaginationKind::Cursor | PaginationKind::Link)),
            ("parameter", parameter.is_some(), kind != PaginationKind::Link),
            ("body_path", body_path.is_some(), kind != PaginationKind::Link),
            ("start", start.is_some(), numbered),
            ("size", size.is_some(), numbered),
            ("hosts", !hosts.is_empty(), kind == PaginationKind::Link),
        ] {
            if given && !belongs {
                errors.push(superfluous(name));
            }
        }
        let places = [parameter.is_some(), body_path.is_some(), is_placed];
        errors.check(places.iter().filter(|given| **given).count() <= 1, || {
            ConfigError::at("/pagination", "a request carries the page in more than one place")
                .help("choose one of `parameter`, `body_path` and the placeholder `{page}`")
        });
        let place = match body_path {
            Some(path) => Place::Body(path.pointer()),
            None if is_placed => Place::Placeholder,
            None => Place::Query,
        };
        let named =
            |default: &str| Parameter { name: parameter.unwrap_or_else(|| default.to_owned()), place };
        let size = size.map(|size| (size_parameter, size));
        let missing = || {
            ConfigError::at("/pagination", "`from` is missing: where in the response the next cursor is")
                .help("for example `pagination = { kind = \"cursor\", from = \".next_cursor\" }`")
        };
        errors.check(kind != PaginationKind::Cursor || from.is_some(), missing);
        errors.finish(())?;
        Ok(match kind {
            PaginationKind::Link => Self::Link { from, hosts },
            PaginationKind::Cursor => {
                Self::Cursor { from: from.ok_or_else(missing)?, parameter: named("cursor") }
            }
            PaginationKind::Page => {
                Self::Number { parameter: named("page"), start: start.unwrap_or(1), size }
            }
            PaginationKind::Offset => {
                Self::Offset { parameter: named("offset"), start: start.unwrap_or(0), size }
            }
        })
    }

    /// Returns the number of events that are requested for a page.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Number { size, .. } | Self::Offset { size, .. } => size.as_ref().map(|(_, size)| *size),
            Self::One | Self::Link { .. } | Self::Cursor { .. } => None,
        }
    }

    /// Returns the place of the page in a request, if it has one.
    pub(super) fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::One | Self::Link { .. } => None,
            Self::Cursor { parameter, .. }
            | Self::Number { parameter, .. }
            | Self::Offset { parameter, .. } => Some(parameter),
        }
    }

    /// Returns the pointer and the value of the page in the body.
    pub(super) fn in_body(&self, next: Option<&PageKey>) -> Option<(&str, Value)> {
        let Place::Body(pointer) = &self.parameter()?.place else { return None };
        Some((pointer, self.value(next)?))
    }

    /// Returns the value of a page in a request. The first page of a cursor has none.
    pub(super) fn value(&self, next: Option<&PageKey>) -> Option<Value> {
        match (self, next) {
            (_, Some(PageKey::Cursor(value))) => Some(Value::String(value.clone())),
            (_, Some(PageKey::Number(number) | PageKey::Offset(number))) => Some((*number).into()),
            (Self::Number { start, .. } | Self::Offset { start, .. }, None) => Some((*start).into()),
            _ => None,
        }
    }

    /// Returns the name of the missing reference to the next page, if `page` has no sign of one.
    pub(super) fn missing_lead(&self, page: &Page<'_>) -> Option<String> {
        match self {
            Self::Link { from: None, .. } if !page.headers.contains_key(LINK) => Some("`Link` header".into()),
            Self::Link { from: Some(from), .. } | Self::Cursor { from, .. } if page.lead.is_absent => {
                Some(format!("`{from}`"))
            }
            _ => None,
        }
    }

    /// Returns whether other headers of a page without a reference announce more pages.
    pub(super) fn say_more(&self, page: &Page<'_>) -> bool {
        let number = |name: &str| page.headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let more = number("x-next-page").is_some()
            || number("x-total-pages").is_some_and(|pages| pages > 1)
            || number("x-total-count").or_else(|| number("x-total")).is_some_and(|total| total > page.count);
        matches!(self, Self::Link { from: None, .. })
            && page.count > 0
            && more
            && !page.headers.contains_key(LINK)
    }

    /// Returns the page after an unreadable one, if that is known. `largest` is the largest number of events of a page
    /// so far.
    pub(super) fn beyond(
        &self,
        now: Option<&PageKey>,
        base: &Url,
        page: &Page<'_>,
        largest: u64,
    ) -> Option<PageKey> {
        let count = match self {
            Self::One | Self::Cursor { .. } | Self::Link { from: Some(_), .. } => return None,
            Self::Link { .. } | Self::Number { .. } => 1,
            // The number of events that the server sent counts, which may be less than requested.
            Self::Offset { size, .. } if largest == 0 => size.as_ref().map(|(_, size)| *size)?,
            Self::Offset { .. } => largest,
        };
        self.after(now, base, &Page { count, ..*page }).ok().flatten()
    }

    /// Returns whether pages have numbers, so that a request may name one after the last.
    pub(super) fn are_numbered(&self) -> bool {
        matches!(self, Self::Number { .. } | Self::Offset { .. })
    }

    /// Returns whether a stored page fits this pagination, and is on a permitted host.
    pub(super) fn lead_to(&self, next: &PageKey, base: &Url) -> bool {
        match (self, next) {
            (Self::Link { hosts, .. }, PageKey::Link(link)) => {
                Url::parse(link).is_ok_and(|link| check_host(&link, base, hosts).is_ok())
            }
            (Self::Cursor { .. }, PageKey::Cursor(_))
            | (Self::Number { .. }, PageKey::Number(_))
            | (Self::Offset { .. }, PageKey::Offset(_)) => true,
            _ => false,
        }
    }

    /// Returns the URL of a page. `parameters` are those of the poll.
    pub(super) fn url(&self, base: &Url, parameters: &[(&str, &str)], next: Option<&PageKey>) -> Url {
        if let Some(PageKey::Link(link)) = next
            && let Ok(url) = Url::parse(link)
        {
            return url;
        }
        let mut all: Vec<(&str, String)> =
            parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let named = self.parameter().filter(|parameter| parameter.place == Place::Query);
        let name = named.map(|parameter| parameter.name.as_str());
        match (self, next) {
            (Self::Cursor { .. }, Some(PageKey::Cursor(value))) => {
                all.extend(name.map(|name| (name, value.clone())));
            }
            (Self::Number { start, size, .. }, next) => {
                let number = if let Some(PageKey::Number(number)) = next { *number } else { *start };
                all.extend(name.map(|name| (name, number.to_string())));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            (Self::Offset { start, size, .. }, next) => {
                let offset = if let Some(PageKey::Offset(offset)) = next { *offset } else { *start };
                all.extend(name.map(|name| (name, offset.to_string())));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            _ => {}
        }
        with_parameters(base, &all)
    }

    /// Returns the page after `page`; `None` if that is the last.
    ///
    /// # Errors
    /// The reason why the next page cannot be requested.
    pub(super) fn after(
        &self,
        now: Option<&PageKey>,
        base: &Url,
        page: &Page<'_>,
    ) -> Result<Option<PageKey>, String> {
        match self {
            Self::One => Ok(None),
            Self::Link { from, hosts } => {
                let target = if from.is_some() {
                    page.lead.next.clone()
                } else {
                    link_header::next(page.headers, page.url)
                };
                let Some(target) = target else { return Ok(None) };
                let link = page
                    .url
                    .join(&target)
                    .map_err(|error| format!("the link to the next page is not a URL: {error}"))?;
                check_host(&link, base, hosts)?;
                Ok(Some(PageKey::Link(link.into())))
            }
            Self::Cursor { .. } => Ok(page.lead.next.clone().map(PageKey::Cursor)),
            _ if page.count == 0 => Ok(None),
            Self::Number { start, .. } => {
                let number = if let Some(PageKey::Number(number)) = now { *number } else { *start };
                Ok(Some(PageKey::Number(number.saturating_add(1))))
            }
            Self::Offset { start, .. } => {
                let offset = if let Some(PageKey::Offset(offset)) = now { *offset } else { *start };
                Ok(Some(PageKey::Offset(offset.saturating_add(page.count))))
            }
        }
    }
}

/// Returns `base` with these parameters, which replace those of the same names.
pub(super) fn with_parameters(base: &Url, parameters: &[(&str, String)]) -> Url {
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
