//! The requests of a poll: a URL, headers and a body, with placeholders for the cursor and the page.

mod body;
mod text;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tidegate_sdk::{ConfigError, ConfigErrors};

use self::body::Body;
use self::text::Text;
pub(super) use self::text::{Placeholder, Values};
use super::options::{PaginationKind, PollOptions};
use super::pages::{PageKey, Pages, with_parameters};
use crate::client::http_client::Request;
use crate::client::options::{checked_url, header_value};

/// The request of each page, before its values are known.
#[derive(Debug)]
pub(super) struct RequestTemplate {
    method: Method,
    url: Text,
    /// The URL, or its constant part.
    base: Url,
    /// Parameters that hold placeholders.
    query: Vec<(String, Text)>,
    /// All headers of the request that are not the client's.
    constant: HeaderMap,
    /// Headers that hold placeholders.
    headers: Vec<(HeaderName, Text)>,
    body: Option<bytes::Bytes>,
    /// The body, if values are inserted into it.
    inserted: Option<Body>,
}

impl RequestTemplate {
    /// Takes the URL, the query, the headers with placeholders and the body out of the options.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn new(options: &mut PollOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let url = Text::new(&options.url);
        let base = errors.keep(base_url(&url, &options.url));
        let client = &mut options.client;
        let mut literal = Vec::new();
        let mut query = Vec::new();
        for (name, value) in client.query_pairs() {
            let text = Text::new(&value);
            if text.is_literal() { literal.push((name, value)) } else { query.push((name, text)) }
        }
        let mut headers = Vec::new();
        for (name, value) in &client.headers {
            let text = Text::new(value.expose());
            if let (false, Ok(header)) = (text.is_literal(), HeaderName::try_from(name.as_str())) {
                headers.push((header, text));
            }
        }
        // A name that is not valid stays, so that the check of the client reports it.
        client
            .headers
            .retain(|name, _| headers.iter().all(|(known, _)| !name.eq_ignore_ascii_case(known.as_str())));
        let mut constant = HeaderMap::new();
        let inserted = errors.keep(inserted_body(options)).flatten();
        let body = options.body.clone().map(bytes::Bytes::from);
        if inserted.is_some() || body.as_ref().is_some_and(|body| tidegate_sdk::json::check(body).is_ok()) {
            constant.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let Some(mut base) = base else { return Err(errors.into_error()) };
        if !literal.is_empty() {
            base.query_pairs_mut().extend_pairs(&literal);
        }
        let url = if url.is_literal() { url } else { url.with_query(&literal) };
        let method = options.method.into();
        let template = Self { method, url, base, query, constant, headers, body, inserted };
        errors.keep(template.check(options));
        errors.finish(template)
    }

    /// Checks that each placeholder has a value.
    fn check(&self, options: &PollOptions) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        let at = |pointer: &str, message: String, help: &str| {
            ConfigError::at(pointer, message).help(help.to_owned())
        };
        let kind = options.pagination.as_ref().map(|page| page.kind);
        let used = self.placeholders();
        for placeholder in used.iter().copied() {
            let missing = match placeholder {
                Placeholder::Cursor(_) => options.cursor.is_none().then_some("table `cursor`"),
                Placeholder::Page => matches!(kind, None | Some(PaginationKind::Link))
                    .then_some("`pagination` other than `link`"),
            };
            if let Some(missing) = missing {
                let message = format!("`{placeholder}` is a placeholder, and there is no {missing}");
                errors.push(at("", message, "leave the placeholder out, or say where its value is"));
            }
        }
        for placeholder in self.url.placeholders() {
            let has_value = match placeholder {
                Placeholder::Cursor(_) => {
                    options.cursor.as_ref().is_none_or(|cursor| cursor.initial.is_some())
                }
                Placeholder::Page => kind != Some(PaginationKind::Cursor),
            };
            if !has_value {
                let message = format!("the first request has no value for `{placeholder}` in the URL");
                errors.push(at("/url", message, "put it into the query or a header, which are left out then; a cursor may have an `initial` value"));
            }
        }
        errors.finish(())
    }

    fn placeholders(&self) -> Vec<Placeholder> {
        let texts = self.query.iter().map(|(_, text)| text);
        let texts = texts.chain(self.headers.iter().map(|(_, text)| text)).chain([&self.url]);
        let mut all: Vec<Placeholder> = texts.flat_map(Text::placeholders).collect();
        all.extend(self.inserted.iter().flat_map(Body::placeholders));
        all
    }

    /// Returns whether any part of the request holds a placeholder of this kind.
    pub(super) fn uses(&self, is_it: impl Fn(Placeholder) -> bool) -> bool {
        self.placeholders().into_iter().any(is_it)
    }

    /// Returns the URL of the first page, or its constant part.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Returns the request with these values. `parameters` are added to the query; `inserted` has JSON pointers into the
    /// body.
    ///
    /// # Errors
    /// A value that cannot stand in its place.
    pub(super) fn request(
        &self,
        pages: &Pages,
        values: &Values,
        parameters: &[(&str, &str)],
        inserted: &[(&str, serde_json::Value)],
        next: Option<&PageKey>,
    ) -> Result<Request, String> {
        let mut base = if self.url.is_literal() { self.base.clone() } else { self.rendered(values)? };
        let query: Vec<(&str, String)> = self
            .query
            .iter()
            .filter_map(|(name, text)| Some((name.as_str(), text.render(values)?)))
            .collect();
        if !query.is_empty() {
            base = with_parameters(&base, &query);
        }
        let url = pages.url(&base, parameters, next);
        let mut headers = self.constant.clone();
        for (name, text) in &self.headers {
            let Some(value) = text.render(values) else { continue };
            let value = header_value(&value, String::new).map_err(|_| {
                format!("the value of the header `{name}` holds a character that a header cannot carry")
            })?;
            headers.insert(name, value);
        }
        let body = match &self.inserted {
            Some(body) => Some(body.with(values, inserted)),
            None => self.body.clone(),
        };
        Ok(Request { method: self.method.clone(), url, headers, body })
    }

    fn rendered(&self, values: &Values) -> Result<Url, String> {
        let text = self.url.render_encoded(values).ok_or("a placeholder in the URL has no value")?;
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').skip(3).any(|segment| matches!(segment, "." | "..")) {
            return Err("a value would change the path of the URL".to_owned());
        }
        Url::parse(&text).map_err(|error| format!("the URL is not valid: {error}"))
    }
}

/// Parses the URL, or its part before the first placeholder, which must hold the host.
fn base_url(url: &Text, written: &str) -> Result<Url, ConfigError> {
    let prefix = url.prefix();
    let base = checked_url(prefix, "/url")?;
    let authority = prefix.find("://").map_or(0, |at| at + 3);
    if !url.is_literal() && !prefix[authority..].contains(['/', '?']) {
        return Err(ConfigError::at("/url", format!("the host of `{written}` is not literal"))
            .help("begin with the whole host and a `/`"));
    }
    Ok(base)
}

/// Parses the body if a value is inserted into it.
fn inserted_body(options: &PollOptions) -> Result<Option<Body>, ConfigError> {
    let by_path = [
        ("/pagination/body_path", options.pagination.as_ref().is_some_and(|page| page.body_path.is_some())),
        ("/cursor/body_path", options.cursor.as_ref().is_some_and(|cursor| cursor.body_path.is_some())),
    ];
    let by_path = by_path.iter().find(|(_, given)| *given).map(|(pointer, _)| *pointer);
    if let Some(pointer) = by_path {
        return Body::new(options.body.as_deref(), pointer).map(Some);
    }
    let body = options.body.as_deref().and_then(|body| Body::new(Some(body), "/body").ok());
    Ok(body.filter(|body| body.placeholders().next().is_some()))
}
