//! One exchange with a server: what goes with every request, and the limits of every answer.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Response, StatusCode};
use tidegate_sdk::{Class, ConfigError, Error};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::answer::{Answer, Limits};
use super::login::Login;
use super::options::{ExchangeOptions, shown};
use super::transport::Transport;
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
    transport: OnceLock<Transport>,
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
            transport: OnceLock::new(),
        })
    }

    /// Makes ready to ask. No connection is made before the first question.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(crate) fn open(&self) -> Result<(), Error> {
        self.transport().map(drop)
    }

    fn transport(&self) -> Result<&Transport, Error> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport);
        }
        let transport = Transport::new(self.connect_time_limit)?;
        Ok(self.transport.get_or_init(|| transport))
    }

    /// Asks, and reads the answer. Any status is an answer: see [`Answer::error`].
    ///
    /// # Errors
    /// If no answer comes. The class is ambiguous if the question may have arrived nevertheless.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.time_limit;
        let transport = self.transport()?;
        let login = self.login(transport, None, deadline).await?;
        let answer = self.exchange(transport, question, login.as_ref(), deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !matches!(self.login, Some(Login::Token(_))) {
            return Ok(answer);
        }
        // The token may have been withdrawn before its time: once more with a new one.
        let login = self.login(transport, login.as_ref(), deadline).await?;
        self.exchange(transport, question, login.as_ref(), deadline).await
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
        transport: &Transport,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Option<HeaderValue>, Error> {
        match &self.login {
            None => Ok(None),
            Some(Login::Fixed(header)) => Ok(Some(header.clone())),
            Some(Login::Token(token)) => token.header(transport, refused, deadline).await.map(Some),
        }
    }

    async fn exchange(
        &self,
        transport: &Transport,
        question: &Question,
        login: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let mut headers = question.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        headers.extend(login.map(|login| (AUTHORIZATION, login.clone())));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let context = format!("{} {}", question.method, shown(&question.url));
        let answered = timeout_at(deadline, self.answered(transport, question, &headers)).await;
        let response = answered.unwrap_or_else(|_| {
            let limit = tidegate_sdk::Duration(self.time_limit);
            Err(Error::ambiguous(format!("no answer within the time limit of {limit}")))
        });
        let response = response.map_err(|error| error.context(&context))?;
        Ok(Answer::read(context, response, self.limits, deadline).await)
    }

    /// The head of the answer, after the redirects that may be followed.
    async fn answered(
        &self,
        transport: &Transport,
        question: &Question,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, Error> {
        let mut url = question.url.clone();
        let mut followed = 0;
        loop {
            let (method, body) = (question.method.clone(), question.body.clone());
            let response = transport.send(method, &url, headers.clone(), body).await?;
            let target = redirect_target(&response, &url).filter(|target| {
                followed < self.redirects && may_follow(response.status(), &url, target, self.carries)
            });
            let Some(target) = target else { return Ok(response) };
            url = target;
            followed += 1;
        }
    }
}

/// Where a redirect leads.
fn redirect_target(response: &Response<Incoming>, url: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let target = response.headers().get(LOCATION)?.to_str().ok()?;
    url.join(target).ok()
}

/// Whether a redirect is followed: within one host, so that no credential leaves it, and never where the rules turn what
/// was sent into a mere question.
fn may_follow(status: StatusCode, from: &Url, to: &Url, carries: bool) -> bool {
    let ports = (from.port_or_known_default(), to.port_or_known_default());
    let upgraded = from.scheme() == "http" && to.scheme() == "https" && ports == (Some(80), Some(443));
    let same = from.scheme() == to.scheme() && ports.0 == ports.1;
    let whole = !carries || matches!(status.as_u16(), 307 | 308);
    whole && from.host() == to.host() && (same || upgraded)
}
