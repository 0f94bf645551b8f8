//! URLs that are rendered from events, with a literal host.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use reqwest::Url;
use tidegate_sdk::{ConfigError, Template};

use super::options::checked_url;

/// A URL whose path and query may hold values of the event. Its host is literal.
#[derive(Clone, Debug)]
pub(crate) struct UrlTemplate {
    template: Template,
    /// The parameters of the option `query`, to add to each URL.
    query: Vec<(String, String)>,
    /// The URL, if it is the same for all events.
    fixed: Option<Url>,
}

impl UrlTemplate {
    pub(crate) fn new(template: Template, query: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let mut address = Self { template, query, fixed: None };
        if let Some(text) = address.template.as_literal() {
            let url = checked_url(text, "/url")?;
            address.fixed = Some(address.with_query(url));
        } else {
            let prefix = address.template.prefix();
            let authority = prefix.find("://").map(|at| at + 3);
            if authority.is_some_and(|at| !prefix[at..].contains(['/', '?'])) {
                return Err(ConfigError::at("/url", "the host is not literal: data must not choose a host")
                    .help(
                        "begin with the whole host and a `/`, such as `https://api.example.com/users/{.id}`",
                    ));
            }
            checked_url(prefix, "/url")?;
        }
        Ok(address)
    }

    /// Returns whether the URL is the same for all events.
    pub(crate) fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// Returns the constant part of the URL, for messages.
    pub(crate) fn redacted(&self) -> String {
        match &self.fixed {
            Some(url) => super::options::redacted(url),
            None => tidegate_sdk::redact_url(self.template.as_str()).into_owned(),
        }
    }

    /// Returns the URL for the event with this payload.
    ///
    /// # Errors
    /// If the event lacks a value, or has one that would change the meaning of the URL.
    pub(crate) fn render(&self, payload: &[u8]) -> Result<Cow<'_, Url>, String> {
        if let Some(url) = &self.fixed {
            return Ok(Cow::Borrowed(url));
        }
        let rendered = self.template.render_with(payload, |rendered, value| {
            if value.is_empty() && !rendered.contains('?') {
                return Err(format!(
                    "an empty value cannot stand in the path of `{}`",
                    self.template.as_str()
                ));
            }
            percent_encode(rendered, value);
            Ok(())
        })?;
        // `.` and `..` are not encoded, but a whole segment of them would lead to another path.
        let path = rendered.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').skip(3).any(|segment| matches!(segment, "." | "..")) {
            return Err(format!(
                "a value of the event would change the path of `{}`",
                self.template.as_str()
            ));
        }
        let url = Url::parse(&rendered).map_err(|error| format!("the URL is not valid: {error}"))?;
        Ok(Cow::Owned(self.with_query(url)))
    }

    fn with_query(&self, mut url: Url) -> Url {
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// Appends `text` with all except unreserved characters encoded (RFC 3986, section 2).
pub(crate) fn percent_encode(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
