//! How one poll goes on over pages. Pure: it looks at answers and says what to ask next.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
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
    Cursor { from: Path, parameter: String },
    /// By a number that grows by one.
    Number { parameter: String, start: u64, size: Option<(String, u64)> },
    /// By the number of events so far.
    Offset { parameter: String, start: u64, size: Option<(String, u64)> },
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

/// The longest link or cursor that is followed, in bytes: it becomes a part of the position.
const LONGEST: usize = 16 << 10;

/// A poll under way: which page is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// How many pages were taken.
    pub(super) taken: u64,
    /// The page to ask for; `None` is the first.
    pub(super) next: Option<Next>,
    /// The cursor's greatest value in the pages so far.
    pub(super) seen: Option<String>,
    /// Hashes of what was asked for, or of what came: a poll that meets one again goes in circles.
    met: HashSet<u64>,
}

/// What the walk looks at in an answer.
pub(super) struct Page<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) count: u64,
}

impl Pages {
    pub(super) fn new(options: Option<PaginationOptions>) -> Result<Self, ConfigError> {
        let Some(options) = options else { return Ok(Self::One) };
        let PaginationOptions { kind, from, parameter, start, size, size_parameter, hosts } = options;
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
            ("start", start.is_some(), numbered),
            ("size", size.is_some(), numbered),
            ("hosts", !hosts.is_empty(), kind == PaginationKind::Link),
        ] {
            if given && !belongs {
                return Err(superfluous(name));
            }
        }
        let named = |default: &str| parameter.unwrap_or_else(|| default.to_owned());
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
        match (self, next) {
            (Self::Cursor { parameter, .. }, Some(Next::Cursor(value))) => {
                all.push((parameter, value.clone()));
            }
            (Self::Number { parameter, start, size }, next) => {
                let number = if let Some(Next::Number(number)) = next { *number } else { *start };
                all.push((parameter, number.to_string()));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            (Self::Offset { parameter, start, size }, next) => {
                let offset = if let Some(Next::Offset(offset)) = next { *offset } else { *start };
                all.push((parameter, offset.to_string()));
                all.extend(size.as_ref().map(|(name, size)| (name.as_str(), size.to_string())));
            }
            _ => {}
        }
        with_parameters(base, &all)
    }

    fn after(&self, now: Option<&Next>, base: &Url, page: &Page<'_>) -> Result<Option<Next>, String> {
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

impl Walk {
    /// A walk that begins, or goes on, at `next`.
    pub(super) fn at(next: Option<Next>, taken: u64, seen: Option<String>) -> Self {
        Self { taken, next, seen, met: HashSet::new() }
    }

    /// Whether the first page was taken.
    pub(super) fn is_later(&self) -> bool {
        self.next.is_some()
    }

    /// Goes on behind `page`. False if it was the last.
    ///
    /// # Errors
    /// Why the next page cannot be asked for.
    pub(super) fn go_on(
        &mut self,
        pages: &Pages,
        base: &Url,
        page: &Page<'_>,
        max_pages: u64,
    ) -> Result<bool, String> {
        let next = pages.after(self.next.as_ref(), base, page)?;
        self.taken += 1;
        let Some(next) = next else { return Ok(false) };
        if let Next::Link(text) | Next::Cursor(text) = &next
            && text.len() > LONGEST
        {
            let length = text.len();
            return Err(format!("the link or cursor of the next page has {length} bytes, over {LONGEST}"));
        }
        let token = match &next {
            Next::Link(text) | Next::Cursor(text) => hash(text.as_bytes()),
            // A server that does not know the parameter sends the same page for every number.
            Next::Number(_) | Next::Offset(_) => hash(page.body),
        };
        if !self.met.insert(token) {
            tracing::warn!(page = self.taken, "the pages repeat themselves, so the poll ends here");
            return Ok(false);
        }
        if self.taken >= max_pages {
            tracing::warn!(max_pages, "the poll ends at `max_pages`, although there is more");
            return Ok(false);
        }
        self.next = Some(next);
        Ok(true)
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
    match link.origin() == base.origin() || (secure && listed) {
        true => Ok(()),
        false => Err(format!(
            "the next page is on another host, `{host}`; if that is right, say so: `hosts = [\"{host}\"]`"
        )),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
