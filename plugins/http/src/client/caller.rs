//! One exchange with a server: what goes with every request, and the limits of every answer.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Method, StatusCode, Url};
use tidegate_sdk::{Class, ConfigError, Error};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer, Limits};
use super::login::Login;
use super::options::{ExchangeOptions, shown};
use crate::coding;

/// Calls servers for one component, over connections that are kept. Safe to use from many tasks.
#[derive(Debug)]
pub(crate) struct Caller {
    headers: HeaderMap,
    login: Option<Login>,
    limits: Limits,
    time_limit: Duration,
    connect_time_limit: Duration,
    redirects: usize,
    /// Whether what is sent is more than a question, so that a redirect must not turn it into one.
    carries: bool,
    /// Made when the component opens, for it reads the system's certificates.
    client: OnceLock<Client>,
}

/// The longest time limit that makes sense, within what the clock can count.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The longest pause that makes sense, within what the clock can count.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 86_400);

/// What a server is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Headers of this question. Those that the user wrote take precedence.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Caller {
    /// # Errors
    /// If a header, the login or a limit cannot be.
    pub(crate) fn new(options: &ExchangeOptions, method: &Method) -> Result<Self, ConfigError> {
        options.check_limits()?;
        Ok(Self {
            headers: options.header_map()?,
            login: options.auth.as_ref().map(Login::new).transpose()?,
            limits: Limits {
                plain: options.body_size.as_usize(),
                inflated: options.inflated_size.as_usize(),
                pause: options.retry_after_limit.0.min(LONGEST_PAUSE),
            },
            time_limit: options.time_limit.0.min(LONGEST),
            connect_time_limit: options.connect_time_limit.0.min(LONGEST),
            redirects: options.redirects,
            carries: method != Method::GET,
            client: OnceLock::new(),
        })
    }

    /// Makes ready to ask. No connection is made before the first question.
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
            // A program that embeds the engine may not have chosen a provider, and without one the client
            // panics. An error means that another thread was faster, which is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let (redirects, carries) = (self.redirects, self.carries);
        let client = Client::builder()
            .connect_timeout(self.connect_time_limit)
            .redirect(Policy::custom(move |attempt| redirect(attempt, redirects, carries)))
            .build()
            .map_err(|error| Error::misconfigured(answer::failure(error).message()))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Asks, and reads the answer. Any status is an answer: see [`Answer::error`].
    ///
    /// # Errors
    /// If no answer comes. The class is ambiguous if the question may have arrived nevertheless.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.time_limit;
        let client = self.client()?;
        let login = self.login(client, None, deadline).await?;
        let answer = self.exchange(client, question, login.as_ref(), deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !matches!(self.login, Some(Login::Token(_))) {
            return Ok(answer);
        }
        // The token may have been withdrawn before its time: once more with a new one.
        let login = self.login(client, login.as_ref(), deadline).await?;
        self.exchange(client, question, login.as_ref(), deadline).await
    }

    /// As [`ask`](Self::ask), for questions that do no harm when they are asked twice and whose answer is
    /// needed whole.
    ///
    /// # Errors
    /// If no answer comes, or not all of it. Never ambiguous.
    pub(crate) async fn fetch(&self, question: &Question) -> Result<Answer, Error> {
        let mut answer = self.ask(question).await.map_err(|error| match error.class() {
            Class::Ambiguous => Error::retry(error.message()),
            _ => error,
        })?;
        match answer.fault.take_if(|fault| fault.class() == Class::Retry) {
            Some(broken) => Err(broken),
            None => Ok(answer),
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
        question: &Question,
        login: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let mut headers = question.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        headers.extend(login.map(|login| (AUTHORIZATION, login.clone())));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let mut request = client.request(question.method.clone(), question.url.clone()).headers(headers);
        if let Some(body) = &question.body {
            request = request.body(body.clone());
        }
        let context = format!("{} {}", question.method, shown(&question.url));
        let response = match timeout_at(deadline, request.send()).await {
            Ok(sent) => sent.map_err(answer::failure),
            Err(_) => {
                let limit = tidegate_sdk::Duration(self.time_limit);
                Err(Error::ambiguous(format!("no answer within the time limit of {limit}")))
            }
        };
        let response = response.map_err(|error| error.context(&context))?;
        Ok(Answer::read(context, response, self.limits, deadline).await)
    }
}

/// Redirects are followed within one host, so that no credential leaves it, and never where the rules turn
/// what was sent into a mere question.
fn redirect(attempt: Attempt<'_>, limit: usize, carries: bool) -> Action {
    let Some(from) = attempt.previous().last() else { return attempt.stop() };
    let to = attempt.url();
    let ports = (from.port_or_known_default(), to.port_or_known_default());
    let upgraded = from.scheme() == "http" && to.scheme() == "https" && ports == (Some(80), Some(443));
    let same = from.scheme() == to.scheme() && ports.0 == ports.1;
    let whole = !carries || matches!(attempt.status().as_u16(), 307 | 308);
    let allowed =
        whole && attempt.previous().len() <= limit && from.host() == to.host() && (same || upgraded);
    match allowed {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}
