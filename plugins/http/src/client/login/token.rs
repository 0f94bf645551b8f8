//! The answers of a token endpoint (RFC 6749, section 5), as servers write them.

#[cfg(test)]
mod tests;

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_sdk::Error;

use crate::client::options::header_value;

/// A token, ready to be sent.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    /// The time for which it may be used; unknown if the server does not say it in a way that makes sense.
    pub(super) lifetime: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer<'a> {
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

/// Kinds of tokens that are of no use without a key or a signature. Whatever else a server calls its tokens
/// (`bearer`, `Bearer`, `BearerToken`), it wants them as `Authorization: Bearer`.
const OTHER_KINDS: [&str; 4] = ["mac", "dpop", "pop", "n_a"];

/// Errors that pass by themselves.
const PASSING: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// A lifetime from which on a token counts as one that does not expire: a hundred years.
const FOR_EVER: f64 = 3_153_600_000.0;

/// The token of an answer with a status of success.
pub(super) fn granted(body: &[u8]) -> Result<Granted, Error> {
    if let Some(error) = refused(body) {
        return Err(error);
    }
    let misconfigured = |message: &str| Error::misconfigured(message);
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|_| misconfigured("the answer is not JSON with an `access_token`"))?;
    let token = answer.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| misconfigured("the answer has no `access_token`"))?;
    if let Some(kind) = answer.token_type.and_then(text)
        && OTHER_KINDS.iter().any(|other| kind.eq_ignore_ascii_case(other))
    {
        return Err(Error::misconfigured(format!(
            "the server gives tokens of the type `{kind}`; only bearer tokens are supported"
        )));
    }
    let header = header_value(&format!("Bearer {token}"), String::new)
        .map_err(|_| misconfigured("the token holds a character that a header cannot carry"))?;
    Ok(Granted { header, lifetime: answer.expires_in.and_then(lifetime) })
}

/// The error that an answer of any status carries, in its own words.
pub(super) fn refused(body: &[u8]) -> Option<Error> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let code = answer.error.and_then(text).filter(|code| !code.is_empty())?;
    let mut message = format!("the server refuses with `{}`", short(&code));
    if let Some(description) = answer.error_description.and_then(text) {
        message.push_str(": ");
        message.push_str(&short(&description));
    }
    let passes = PASSING.contains(&code.as_str());
    Some(if passes { Error::retry(message) } else { Error::misconfigured(message) })
}

/// Seconds as a number, whole or not, or as text. Less than nothing says nothing: some servers write -1 for a token
/// that does not expire.
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
