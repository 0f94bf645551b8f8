//! Parses responses of token endpoints (RFC 6749, section 5), in the variants that servers send.

#[cfg(test)]
mod tests;

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_sdk::Error;

use crate::client::options::header_value;

/// A token as a header.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    /// The lifetime of the token; `None` if the server does not state a valid one.
    pub(super) lifetime: Option<Duration>,
}

#[derive(Deserialize)]
struct Response<'a> {
    access_token: Option<String>,
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    token_type: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    error_description: Option<&'a RawValue>,
}

/// Token types that require a key or a signature. Servers with any other type name (`bearer`, `BearerToken`) expect
/// `Authorization: Bearer`.
const OTHER_KINDS: [&str; 4] = ["mac", "dpop", "pop", "n_a"];

/// Errors that are temporary.
const PASSING: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// The lifetime from which on a token counts as one that does not expire: a hundred years.
const FOR_EVER: f64 = 3_153_600_000.0;

/// Returns the token of a successful response.
pub(super) fn granted(body: &[u8]) -> Result<Granted, Error> {
    if let Some(error) = refused(body) {
        return Err(error);
    }
    let misconfigured = |message: &str| Error::misconfigured(message);
    let response: Response<'_> = serde_json::from_slice(body)
        .map_err(|_| misconfigured("the response is not JSON with an `access_token`"))?;
    let token = response.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| misconfigured("the response has no `access_token`"))?;
    if let Some(kind) = response.token_type.and_then(text)
        && OTHER_KINDS.iter().any(|other| kind.eq_ignore_ascii_case(other))
    {
        return Err(Error::misconfigured(format!(
            "the server gives tokens of the type `{kind}`; only bearer tokens are supported"
        )));
    }
    let header = header_value(&format!("Bearer {token}"), String::new)
        .map_err(|_| misconfigured("the token holds a character that a header cannot carry"))?;
    Ok(Granted { header, lifetime: response.expires_in.and_then(lifetime) })
}

/// Returns the error that a response of any status carries.
pub(super) fn refused(body: &[u8]) -> Option<Error> {
    let response: Response<'_> = serde_json::from_slice(body).ok()?;
    let code = response.error.and_then(text).filter(|code| !code.is_empty())?;
    let mut message = format!("the server refuses with `{}`", short(&code));
    if let Some(description) = response.error_description.and_then(text) {
        message.push_str(": ");
        message.push_str(&short(&description));
    }
    let passes = PASSING.contains(&code.as_str());
    Some(if passes { Error::retry(message) } else { Error::misconfigured(message) })
}

/// Parses seconds as a number or as text. A negative number is no lifetime: some servers send -1 for a token that does
/// not expire.
fn lifetime(value: &RawValue) -> Option<Duration> {
    let written = value.get();
    let seconds: f64 = match text(value) {
        Some(text) => text.trim().parse().ok()?,
        None => written.parse().ok()?,
    };
    (0.0..FOR_EVER).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
