//! The credentials of requests.

mod token;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tidegate_sdk::{Class, ConfigError, Error};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::token::Granted;
use super::options::{AuthOptions, Credentials, OAuth2, checked_url, header_value, redacted};
use super::response::{self, Limits, Response};

/// The checked form of the option `auth`.
#[derive(Debug)]
pub(crate) enum Login {
    /// A constant header.
    Fixed(HeaderValue),
    /// A token that expires.
    Token(Box<TokenLogin>),
}

/// An OAuth2 token, and the endpoint of the next one.
#[derive(Debug)]
pub(crate) struct TokenLogin {
    url: Url,
    options: OAuth2,
    /// Locked while a token is fetched, so that concurrent requests fetch one token.
    token: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    expires: Option<Instant>,
}

impl Login {
    pub(crate) fn new(options: &AuthOptions) -> Result<Self, ConfigError> {
        match (&options.basic, &options.bearer, &options.oauth2) {
            (Some(basic), None, None) if basic.user.contains(':') => {
                Err(ConfigError::at("/auth/basic/user", "a user of basic authentication holds no `:`"))
            }
            (Some(basic), None, None) => {
                let header = basic_header(&basic.user, basic.password.expose());
                Ok(Self::Fixed(header_value(&header, || "/auth/basic".into())?))
            }
            (None, Some(token), None) => {
                let header = format!("Bearer {}", token.expose());
                Ok(Self::Fixed(header_value(&header, || "/auth/bearer".into())?))
            }
            (None, None, Some(options)) => {
                let url = checked_url(&options.token_url, "/auth/oauth2/token_url")?;
                let token = Mutex::new(None);
                Ok(Self::Token(Box::new(TokenLogin { url, options: options.clone(), token })))
            }
            _ => Err(ConfigError::at("/auth", "say exactly one of `basic`, `bearer` and `oauth2`")
                .help("for example `auth = { bearer = \"${TOKEN}\" }`")),
        }
    }
}

impl TokenLogin {
    /// Returns the header with a valid token; a new one if `refused` is the current one.
    pub(crate) async fn header(
        &self,
        client: &reqwest::Client,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<HeaderValue, Error> {
        let fetched =
            tokio::time::timeout_at(deadline, self.kept_or_fetched(client, refused, deadline)).await;
        let late = |_| Error::retry("no response within the time limit");
        fetched
            .map_err(late)
            .and_then(|header| header)
            .map_err(|error| error.context(format_args!("token from {}", redacted(&self.url))))
    }

    async fn kept_or_fetched(
        &self,
        client: &reqwest::Client,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<HeaderValue, Error> {
        let mut kept = self.token.lock().await;
        if let Some(token) = &*kept {
            let fresh = token.expires.is_none_or(|expires| Instant::now() < expires);
            if fresh && refused != Some(&token.header) {
                return Ok(token.header.clone());
            }
        }
        *kept = None;
        let token = self.fetch(client, deadline).await?;
        let header = token.header.clone();
        *kept = Some(token);
        Ok(header)
    }

    async fn fetch(&self, client: &reqwest::Client, deadline: Instant) -> Result<Token, Error> {
        let options = &self.options;
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(options.scope.as_deref().map(|scope| ("scope", scope)));
        let mut builder = client.post(self.url.clone());
        match options.credentials {
            Credentials::Header => {
                let secret = form_encoded(options.client_secret.expose());
                builder =
                    builder.header(AUTHORIZATION, basic_header(&form_encoded(&options.client_id), &secret));
            }
            Credentials::Body => {
                form.push(("client_id", &options.client_id));
                form.push(("client_secret", options.client_secret.expose()));
            }
        }
        // A repeated token request does no harm, so no failure of it is ambiguous.
        let again = |error: reqwest::Error| match response::failure(error) {
            error if error.class() == Class::Ambiguous => Error::retry(error.message()),
            error => error,
        };
        let form = form_body(&self.url, &form);
        let builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let incoming = builder.send().await.map_err(again)?;
        let limits = Limits { plain: TOKEN_SIZE, inflated: TOKEN_SIZE, pause: LONGEST_PAUSE };
        let response = Response::read("POST".into(), incoming, limits, deadline).await;
        match (response.error(), response.fault) {
            (Some(error), _) if error.class() == Class::Reject => {
                let passes =
                    token::refused(&response.body).is_some_and(|error| error.class() == Class::Retry);
                let class = if passes { Class::Retry } else { Class::Misconfigured };
                Err(Error::new(class, error.message()))
            }
            (Some(error), _) => Err(error),
            (None, Some(fault)) if fault.class() == Class::Reject => {
                Err(Error::misconfigured(fault.message()))
            }
            (None, Some(fault)) => Err(fault),
            (None, None) => token::granted(&response.body).map(Token::new),
        }
    }
}

/// The largest response of a token endpoint.
const TOKEN_SIZE: usize = 64 << 10;

/// The longest pause that a token endpoint may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl Token {
    fn new(granted: Granted) -> Self {
        // Renewed a little early, so that the token does not expire in transit.
        let expires = granted.lifetime.and_then(|lifetime| {
            let early = (lifetime / 10).min(Duration::from_secs(30));
            Instant::now().checked_add(lifetime - early)
        });
        Self { header: granted.header, expires }
    }
}

fn basic_header(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Encodes the fields as a form.
fn form_body(url: &Url, fields: &[(&str, &str)]) -> String {
    let mut form = url.clone();
    form.query_pairs_mut().clear().extend_pairs(fields);
    form.query().unwrap_or_default().to_owned()
}

/// Encodes text as in a form, which RFC 6749, section 2.3.1 requires before basic authentication.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    super::url_template::percent_encode(&mut encoded, text);
    encoded
}
