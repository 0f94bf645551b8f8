//! The options of an HTTP client, and their checks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use tidegate_sdk::{ConfigError, ConfigErrors, Duration, Secret, Size};

/// The options that the source, the filter and the sink share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ClientOptions {
    /// Headers to send with each request: `headers = { accept = "application/json" }`.
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Parameters to add to the URL: `query = { limit = 100, status = "active" }`. They are not shown in
    /// messages.
    pub(crate) query: BTreeMap<String, QueryValue>,
    /// The credentials: `{ basic = { user = "me", password = "${PASSWORD}" } }`, `{ bearer = "${TOKEN}" }`, or `{
    /// oauth2 = { token_url = "...", client_id = "...", client_secret = "..." } }`.
    pub(crate) auth: Option<AuthOptions>,
    /// The largest rate of requests, evenly spaced: `"5/s"`, `"100/m"`. Not limited by default.
    #[schemars(extend("examples" = ["5/s", "100/m"]))]
    pub(crate) rate: Option<String>,
    /// The longest time from connecting to the last byte of the response.
    pub(crate) time_limit: Duration,
    /// The longest time that connecting may take.
    pub(crate) connect_time_limit: Duration,
    /// The largest response, in bytes as received (compressed, if the server compresses).
    pub(crate) body_size: Size,
    /// The largest response, in bytes after decompression.
    pub(crate) inflated_size: Size,
    /// The longest pause that a server may ask for with `Retry-After`. A longer one counts as this one.
    pub(crate) retry_after_limit: Duration,
    /// The number of redirects to follow. They are followed on the same host only, so that credentials never leave it.
    pub(crate) redirects: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            auth: None,
            rate: None,
            time_limit: Duration::seconds(30),
            connect_time_limit: Duration::seconds(10),
            body_size: Size(8 << 20),
            inflated_size: Size(32 << 20),
            retry_after_limit: Duration::seconds(3600),
            redirects: 0,
        }
    }
}

/// The credentials: exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthOptions {
    /// A user and a password.
    pub(crate) basic: Option<Basic>,
    /// A token, sent as `Authorization: Bearer TOKEN`.
    pub(crate) bearer: Option<Secret>,
    /// A token from the OAuth2 client credentials grant. It is renewed shortly before it expires, and once if the
    /// server refuses it.
    pub(crate) oauth2: Option<OAuth2>,
}

/// A user and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// The user.
    pub(crate) user: String,
    /// The password.
    #[serde(default = "no_password")]
    pub(crate) password: Secret,
}

fn no_password() -> Secret {
    Secret::new("")
}

/// The OAuth2 client credentials grant (RFC 6749, section 4.4).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth2 {
    /// The URL of the token endpoint.
    pub(crate) token_url: String,
    /// The client's id.
    pub(crate) client_id: String,
    /// The client's secret.
    pub(crate) client_secret: Secret,
    /// The scopes to ask for, separated by spaces.
    #[serde(default)]
    pub(crate) scope: Option<String>,
    /// The place of the client's id and secret in a token request: `"header"` (basic authentication) or `"body"` (form
    /// fields).
    #[serde(default)]
    pub(crate) credentials: Credentials,
}

/// The place of a client's id and secret in a token request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credentials {
    /// By basic authentication.
    #[default]
    Header,
    /// As form fields.
    Body,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RequestMethod {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
}

impl From<RequestMethod> for reqwest::Method {
    fn from(method: RequestMethod) -> Self {
        match method {
            RequestMethod::Get => Self::GET,
            RequestMethod::Post => Self::POST,
        }
    }
}

/// The value of a query parameter: text, a number or a boolean.
#[derive(Clone, Debug)]
pub(crate) struct QueryValue(pub(crate) String);

impl<'de> Deserialize<'de> for QueryValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(de::Error::custom("a query parameter is text, a number or a boolean")),
        }
    }
}

impl JsonSchema for QueryValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "query-value".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl ClientOptions {
    /// Returns the checked headers. None of their values is ever shown.
    pub(crate) fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut errors = ConfigErrors::default();
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        for (name, value) in &self.headers {
            let at = || format!("/headers/{}", pointer_part(name));
            let header = HeaderName::try_from(name.as_str()).map_err(|_| {
                ConfigError::at(at(), format!("`{name}` is not a header name"))
                    .help("header names consist of a-z, digits and `-`")
            });
            let (header, value) = (errors.keep(header), errors.keep(header_value(value.expose(), at)));
            if let (Some(header), Some(value)) = (header, value) {
                headers.insert(header, value);
            }
        }
        errors.finish(headers)
    }

    /// Returns the parameters of the option `query`.
    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        self.query.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
    }

    /// Checks that no limit is zero.
    pub(crate) fn check_limits(&self) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        for (name, limit) in
            [("time_limit", self.time_limit), ("connect_time_limit", self.connect_time_limit)]
        {
            if limit.is_zero() {
                errors.push(
                    ConfigError::at(format!("/{name}"), "the time limit is zero")
                        .help("write a span of time, such as \"30s\""),
                );
            }
        }
        for (name, size) in [("body_size", self.body_size), ("inflated_size", self.inflated_size)] {
            if size.bytes() == 0 {
                errors.push(
                    ConfigError::at(format!("/{name}"), "the size is zero")
                        .help("write a size, such as \"8MiB\""),
                );
            }
        }
        errors.finish(())
    }
}

/// Returns a header value that is never shown.
pub(crate) fn header_value(text: &str, pointer: impl Fn() -> String) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ConfigError::at(pointer(), "the value holds a character that a header cannot carry")
            .help("look for a line break at its end, as a file with a secret often has")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Parses a URL that can be called.
pub(crate) fn checked_url(text: &str, pointer: &str) -> Result<Url, ConfigError> {
    let sample = "write it like \"https://api.example.com/users\"";
    let url = Url::parse(text)
        .map_err(|error| ConfigError::at(pointer, format!("this is not a URL: {error}")).help(sample))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        "http" | "https" => Err(ConfigError::at(pointer, "the URL has no host").help(sample)),
        other => Err(ConfigError::at(pointer, format!("`{other}` is not `http` or `https`")).help(sample)),
    }
}

/// Returns the URL for messages: without user, password and query, any of which may be secret.
pub(crate) fn redacted(url: &Url) -> String {
    let mut redacted = url.clone();
    redacted.set_query(None);
    redacted.set_fragment(None);
    tidegate_sdk::redact_url(redacted.as_str()).into_owned()
}

/// Escapes a name for a JSON pointer (RFC 6901, section 3).
fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
