//! Connections to servers: direct, through a proxy of the environment, with TLS or without, kept for a while.

mod connector;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tidegate_sdk::Error;
use tokio::sync::Notify;
use url::Url;

use self::connector::Connector;
use super::login::basic_header;

/// The time for which a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(90);

/// The number of 1xx answers that one request may have before its own.
const INFORMATIONAL: u32 = 32;

/// Sends requests, over connections that are kept.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: Client<Connector, Full<Bytes>>,
    proxies: Arc<Matcher>,
}

impl Transport {
    /// # Errors
    /// If the system's certificates cannot be read.
    pub(crate) fn new(connect_time_limit: Duration) -> Result<Self, Error> {
        Self::with_proxies(connect_time_limit, Matcher::from_system())
    }

    fn with_proxies(connect_time_limit: Duration, proxies: Matcher) -> Result<Self, Error> {
        let proxies = Arc::new(proxies);
        let connector = Connector::new(connect_time_limit, Arc::clone(&proxies))?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, proxies })
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// # Errors
    /// Why no answer came.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = self.request(method, url, headers, body)?;
        let informational = Arc::new((AtomicU32::new(0), Notify::new()));
        let counted = Arc::clone(&informational);
        hyper::ext::on_informational(&mut request, move |_| {
            let (count, flood) = &*counted;
            if count.fetch_add(1, Ordering::Relaxed) == INFORMATIONAL {
                flood.notify_one();
            }
        });
        tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| failure(&error, error.is_connect())),
            // The request is dropped, and its connection with it.
            () = informational.1.notified() => {
                Err(Error::ambiguous(format!("no answer: more than {INFORMATIONAL} interim answers (1xx) came")))
            }
        }
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut url = url.clone();
        if let Some(login) = login_of(&mut url)
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, login);
        }
        url.set_fragment(None);
        let uri: Uri = url
            .as_str()
            .parse()
            .map_err(|error| Error::misconfigured(format!("the request cannot be made: {error}")))?;
        if url.scheme() == "http"
            && let Some(login) = self.proxies.intercept(&uri).and_then(|proxy| proxy.basic_auth().cloned())
        {
            headers.entry(PROXY_AUTHORIZATION).or_insert(login);
        }
        let mut request = Request::new(body.map_or_else(Full::default, Full::new));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Takes the user and the password out of a URL.
fn login_of(url: &mut Url) -> Option<HeaderValue> {
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    if user.is_empty() && password.is_empty() {
        return None;
    }
    let plain = url.set_username("").and_then(|()| url.set_password(None));
    let mut header = HeaderValue::try_from(basic_header(&user, &password)).ok()?;
    header.set_sensitive(true);
    plain.ok().map(|()| header)
}

/// Text of a URL without its percent signs.
fn decoded(text: &str) -> String {
    // A form has `+` for a blank, which a URL's user has not.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

/// Why no answer came, or not all of it.
pub(crate) fn failure(error: &(dyn StdError + 'static), connecting: bool) -> Error {
    let (mut cause, mut refused) = (error.to_string(), false);
    let mut next = error.source();
    while let Some(source) = next {
        refused |= is_tls(source);
        cause = source.to_string();
        next = source.source();
    }
    if refused {
        Error::misconfigured(format!("no secure connection: {cause}"))
    } else if connecting {
        Error::retry(format!("no connection: {cause}"))
    } else {
        Error::ambiguous(format!("no answer: {cause}"))
    }
}

/// Whether the cause is TLS: I/O errors hide what they wrap from the chain of sources.
fn is_tls(mut source: &(dyn StdError + 'static)) -> bool {
    while let Some(wrapped) = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        source = wrapped;
    }
    source.is::<rustls::Error>()
}
