//! Checks of a request before its body is read: token, host, path, method and rate.

use std::hint::black_box;
use std::time::Instant;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use tidegate_sdk::Hosts;

use super::options::Settings;
use super::response::{self, ErrorResponse, Response};

/// The outcome of the checks.
pub(super) enum Admission {
    /// The request makes events.
    Admit,
    /// The request is answered without events.
    Answered(Response),
}

/// Checks the head of a request.
pub(super) fn admit(
    head: &Parts,
    settings: &Settings,
    rate: Option<&Rate>,
) -> Result<Admission, ErrorResponse> {
    if let Some(token) = &settings.options.token
        && !authorized(&head.headers, token.expose())
    {
        return Err(ErrorResponse::unauthorized());
    }
    if let Some(hosts) = &settings.hosts {
        check_host(head, hosts)?;
    }
    let path = head.uri.path();
    let asks_of_the_server = head.method == Method::OPTIONS && path == "*";
    if !asks_of_the_server && !settings.path.matches(path) {
        return Err(ErrorResponse::new(StatusCode::NOT_FOUND, "there is no endpoint at this path"));
    }
    if !settings.methods.contains(&head.method) {
        return match &head.method {
            &Method::OPTIONS => Ok(Admission::Answered(response::options(&settings.allow))),
            &Method::HEAD if settings.methods.contains(&Method::GET) => {
                Ok(Admission::Answered(response::empty(StatusCode::OK)))
            }
            other => Err(ErrorResponse::method(other.as_str(), &settings.allow)),
        };
    }
    if rate.is_none_or(Rate::take) {
        Ok(Admission::Admit)
    } else {
        let message = "there are too many requests a second";
        Err(ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(1))
    }
}

/// Refuses requests that a browser sends for a page of another host. Clients other than browsers may leave out both
/// headers.
fn check_host(head: &Parts, hosts: &Hosts) -> Result<(), ErrorResponse> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let named = head.headers.get_all(HOST).iter().map(text);
    let named = named.chain(head.uri.authority().map(|authority| authority.as_str().to_owned()));
    let strange = named.into_iter().find(|host| !hosts.allows(host));
    let foreign = head.headers.get_all(ORIGIN).iter().map(text).find(|origin| !hosts.allows_origin(origin));
    match strange.map(|host| ("host", host)).or(foreign.map(|origin| ("origin", origin))) {
        Some((what, name)) => {
            let name: String = name.chars().take(100).collect();
            let message = format!(
                "the {what} `{name}` is not one that this server is for: without a `token` these are the names of \
                 loopback, such as localhost and 127.0.0.1, and those of its option `hosts`"
            );
            Err(ErrorResponse::new(StatusCode::FORBIDDEN, message))
        }
        None => Ok(()),
    }
}

fn authorized(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case(b"bearer ") && same(given, token.as_bytes())
    })
}

/// Compares two texts in a time that depends on the length of `given` only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    for (index, byte) in given.iter().enumerate() {
        let other = expected.get(index % expected.len().max(1)).copied().unwrap_or(0);
        difference = black_box(difference | usize::from(byte ^ other));
    }
    difference == 0
}

/// A limit on the requests a second, with bursts of at most one second's worth.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    left: Mutex<(f64, Instant)>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: Mutex::new((per_second, Instant::now())) }
    }

    /// Counts a request. Returns false if it exceeds the rate.
    fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut left = self.left.lock();
        let passed = now.saturating_duration_since(left.1).as_secs_f64();
        let tokens = (left.0 + passed * self.per_second).min(self.per_second);
        let taken = tokens >= 1.0;
        *left = (if taken { tokens - 1.0 } else { tokens }, now.max(left.1));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_very_token_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for given in ["", "secre", "secret1", "secretsecret", "Secret"] {
            assert!(!same(given.as_bytes(), b"secret"), "{given}");
        }
    }

    #[test]
    fn the_rate_refills_with_time() {
        let rate = Rate::new(2);
        let start = Instant::now();
        let at = |millis| rate.take_at(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(400), at(600), at(600)], [true, true, false, false, true, false]);
        assert_eq!([at(9000), at(9000), at(9000)], [true, true, false]);
    }
}
