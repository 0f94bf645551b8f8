//! An HTTP client with the credentials, headers and limits of one component.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Method, StatusCode, Url};
use tidegate_sdk::{Class, ConfigError, ConfigErrors, Error};
use tokio::time::{Instant, timeout_at};

use super::login::Login;
use super::options::{ClientOptions, redacted};
use super::rate::Pace;
use super::response::{self, Limits, Response};
use crate::coding;

/// Calls servers for one component over persistent connections. It can be used by several tasks.
#[derive(Debug)]
pub(crate) struct HttpClient {
    headers: HeaderMap,
    login: Option<Login>,
    limits: Limits,
    time_limit: Duration,
    connect_time_limit: Duration,
    redirects: usize,
    pace: Option<Pace>,
    /// Set if requests carry data, so that a redirect must not turn them into GET.
    carries: bool,
    /// Made when the component opens, because that reads the system's certificates.
    client: OnceLock<Client>,
}

/// The largest time limit, within the range of the clock.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The longest pause, within the range of the clock.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 86_400);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Headers of this request. Headers from the options take precedence.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl HttpClient {
    /// Makes a client from its options.
    ///
    /// # Errors
    /// If a header, the login or a limit is not valid.
    pub(crate) fn new(options: &ClientOptions, method: &Method) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(options.check_limits());
        let headers = errors.keep(options.header_map());
        let login = errors.keep(options.auth.as_ref().map(Login::new).transpose());
        let pace = errors.keep(options.rate.as_deref().map(Pace::new).transpose()).flatten();
        let (Some(headers), Some(login)) = (headers, login) else { return Err(errors.into_error()) };
        errors.finish(Self {
            headers,
            login,
            limits: Limits {
                plain: options.body_size.as_usize(),
                inflated: options.inflated_size.as_usize(),
                pause: options.retry_after_limit.0.min(LONGEST_PAUSE),
            },
            time_limit: options.time_limit.0.min(LONGEST),
            connect_time_limit: options.connect_time_limit.0.min(LONGEST),
            redirects: options.redirects,
            pace,
            carries: method != Method::GET,
            client: OnceLock::new(),
        })
    }

    /// Prepares the client. No connection is made before the first request.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(crate) fn open(&self) -> Result<(), Error> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Without a provider the client panics, and a program that embeds the engine may not have chosen one. An
            // error means that another thread has installed one meanwhile.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let (redirects, carries) = (self.redirects, self.carries);
        let client = Client::builder()
            .connect_timeout(self.connect_time_limit)
            .redirect(Policy::custom(move |attempt| redirect(attempt, redirects, carries)))
            .build()
            .map_err(|error| Error::misconfigured(response::failure(error).message()))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends a request and reads the response. Any status is a response: see [`Response::error`].
    ///
    /// # Errors
    /// If there is no response. The class is ambiguous if the request may have arrived.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, Error> {
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        let deadline = Instant::now() + self.time_limit;
        let client = self.client()?;
        let login = self.login(client, None, deadline).await?;
        let response = self.exchange(client, request, login.as_ref(), deadline).await?;
        if response.status != StatusCode::UNAUTHORIZED || !matches!(self.login, Some(Login::Token(_))) {
            return Ok(response);
        }
        // The token may have been withdrawn early: the request is repeated once with a new one.
        let login = self.login(client, login.as_ref(), deadline).await?;
        self.exchange(client, request, login.as_ref(), deadline).await
    }

    /// Sends a request that can be repeated without harm and needs the whole response.
    ///
    /// # Errors
    /// If the response is missing or incomplete. Never ambiguous.
    pub(crate) async fn fetch(&self, request: &Request) -> Result<Response, Error> {
        let mut response = self.send(request).await.map_err(|error| match error.class() {
            Class::Ambiguous => Error::retry(error.message()),
            _ => error,
        })?;
        match response.fault.take_if(|fault| fault.class() == Class::Retry) {
            Some(broken) => Err(broken),
            None => Ok(response),
        }
    }

    async fn login(
        &self,
        client: &Client,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Option<HeaderValue>, Error> {
        match &self.login {
            None => Ok(None),
            Some(Login::Fixed(header)) => Ok(Some(header.clone())),
            Some(Login::Token(token)) => token.header(client, refused, deadline).await.map(Some),
        }
    }

    async fn exchange(
        &self,
        client: &Client,
        request: &Request,
        login: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let mut headers = request.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        headers.extend(login.map(|login| (AUTHORIZATION, login.clone())));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let mut builder = client.request(request.method.clone(), request.url.clone()).headers(headers);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let context = format!("{} {}", request.method, redacted(&request.url));
        let incoming = match timeout_at(deadline, builder.send()).await {
            Ok(sent) => sent.map_err(response::failure),
            Err(_) => {
                let limit = tidegate_sdk::Duration(self.time_limit);
                Err(Error::ambiguous(format!("no response within the time limit of {limit}")))
            }
        };
        let incoming = incoming.map_err(|error| error.context(&context))?;
        Ok(Response::read(context, incoming, self.limits, deadline).await)
    }
}

/// Follows redirects within one host, so that no credential leaves it, and only if they do not turn a request with data
/// into GET.
fn redirect(attempt: Attempt<'_>, limit: usize, carries: bool) -> Action {
    let Some(from) = attempt.previous().last() else { return attempt.stop() };
    let to = attempt.url();
    let ports = (from.port_or_known_default(), to.port_or_known_default());
    let upgraded = from.scheme() == "http" && to.scheme() == "https" && ports == (Some(80), Some(443));
    let same = from.scheme() == to.scheme() && ports.0 == ports.1;
    let whole = !carries || matches!(attempt.status().as_u16(), 307 | 308);
    let allowed =
        whole && attempt.previous().len() <= limit && from.host() == to.host() && (same || upgraded);
    if allowed { attempt.follow() } else { attempt.stop() }
}
