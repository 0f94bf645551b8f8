//! Handles one request, from its head to its response.

use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;
use tidegate_sdk::{Attributes, Client, Cx, Outcome, Size};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admission::{self, Admission, Rate};
use super::body::{self, Content};
use super::decode::{DecodeError, Decoded, decode};
use super::form;
use super::options::{Options, Respond, Settings};
use super::queue::{OutcomeShare, QueuedRequest, RequestQueue};
use super::response::{self, ErrorResponse, Response};
use super::timed_socket::Phase;
use crate::budget::ByteBudget;
use crate::pending::{PendingRequest, PendingRequests, REQUEST, TooLarge};

/// Bodies from this size on are decoded on the blocking pool, because that takes long enough to delay other tasks.
const LARGE: usize = 256 << 10;

/// The number of attribute bytes that a connection keeps for its next request.
const KEPT_BYTES: usize = 1 << 10;

/// The state that all requests of one server share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) pending_requests: Arc<PendingRequests>,
    pub(super) budget: Arc<ByteBudget>,
    pub(super) rate: Option<Rate>,
    pub(super) queue: RequestQueue,
    /// Counts connections without a request so far. When a reload replaces the server, requests are admitted until
    /// there are none.
    pub(super) newcomers: TaskTracker,
    pub(super) cx: Cx,
}

/// The client of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// The client's address and port.
    pub(super) address: String,
    /// The attributes of the last request. Most clients send the same ones each time.
    pub(super) attributes: Mutex<Arc<Attributes>>,
    pub(super) phase: Arc<Phase>,
    /// Held until the first request is admitted.
    newcomer: Mutex<Option<TaskTrackerToken>>,
}

impl Peer {
    /// Makes the peer of a new connection.
    pub(super) fn new(address: String, newcomer: TaskTrackerToken) -> Self {
        let newcomer = Mutex::new(Some(newcomer));
        Self { address, attributes: Mutex::default(), phase: Arc::default(), newcomer }
    }
}

impl Server {
    /// Serves a request. If the future is dropped because the client left, the request is no longer pending, and its
    /// remaining work is cancelled.
    pub(super) async fn serve(&self, request: Request<Incoming>, peer: &Peer) -> Response {
        peer.phase.serving();
        let (head, mut body) = request.into_parts();
        let response =
            self.response(&head, &mut body, peer).await.unwrap_or_else(ErrorResponse::into_response);
        peer.phase.answering();
        response
    }

    async fn response(
        &self,
        head: &Parts,
        body: &mut Incoming,
        peer: &Peer,
    ) -> Result<Response, ErrorResponse> {
        peer.phase.unread(!body.is_end_stream());
        if let Admission::Answered(response) = admission::admit(head, &self.settings, self.rate.as_ref())? {
            return Ok(response);
        }
        let entry = self.queue.enter();
        drop(peer.newcomer.lock().take());
        let entry = entry?;
        let options = &self.settings.options;
        let mut content = body::read(body, &head.headers, options, &self.budget).await?;
        peer.phase.unread(false);
        let decoded = self.decode(head, &mut content).await?;
        let events = decoded.events.spans().len();
        let format = options.answer_as.format(decoded.format);
        let pending = (options.respond == Respond::Result)
            .then(|| self.pending_requests.open(options.inflated_size.as_usize(), &self.budget));
        if events == 0 {
            return match pending {
                Some(pending) => {
                    Ok(response::result(pending.render(format).map_err(|TooLarge| too_large())?))
                }
                None => Ok(response::taken(StatusCode::OK, 0)),
            };
        }
        let attributes = self.attributes(head, peer, pending.as_ref());
        let gone = CancellationToken::new();
        let (share, outcome, client) = match options.respond {
            Respond::Accepted => (None, None, Client::answered()),
            Respond::Delivered | Respond::Result => {
                let (share, outcome) = OutcomeShare::new();
                (Some(share), Some(outcome), Client::waiting(gone.clone()))
            }
        };
        entry.push(QueuedRequest { decoded, attributes, share, client, _reserved: content.reserved })?;
        // Cancels the remaining work at the end: after a response, a timeout, or a drop because the client left.
        let _over = (!options.run_on).then(|| gone.drop_guard());
        let Some(outcome) = outcome else { return Ok(response::taken(StatusCode::ACCEPTED, events)) };
        match tokio::time::timeout(*options.time_limit, outcome).await {
            Err(_) => Err(late(options)),
            Ok(Ok(Outcome::Delivered)) => match pending {
                Some(pending) => {
                    Ok(response::result(pending.render(format).map_err(|TooLarge| too_large())?))
                }
                None => Ok(response::taken(StatusCode::OK, events)),
            },
            Ok(Ok(Outcome::Rejected(reason))) => {
                Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, reason))
            }
            Ok(Ok(Outcome::Failed) | Err(_)) => Err(ErrorResponse::unavailable(
                "the pipeline failed to process this request; try again later",
            )),
        }
    }

    /// Decodes the events of a request: those of its body, or the event that stands for a request without a body.
    async fn decode(&self, head: &Parts, content: &mut Content) -> Result<Decoded, ErrorResponse> {
        let body = std::mem::take(&mut content.bytes);
        let received = body.len();
        let content_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let options = &self.settings.options;
        let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
        let decoded = if body.is_empty() && !(has_body && options.decode.takes_empty(content_type)) {
            let query = head.uri.query().unwrap_or_default();
            Decoded::whole(form::event(head.method.as_str(), head.uri.path(), query))
        } else if body.len() < LARGE {
            decode(body, options.decode, content_type, options.events).map_err(problem)?
        } else {
            let (how, limit, content_type) = (options.decode, options.events, content_type.to_owned());
            let decoded = self.cx.spawn_blocking(move || decode(body, how, &content_type, limit)).await;
            let failed = |_| ErrorResponse::unavailable("the body could not be decoded; try again later");
            decoded.map_err(failed)?.map_err(problem)?
        };
        let spans = decoded.events.spans();
        let limit = self.cx.event_size();
        if spans.iter().any(|span| span.length as usize > limit) {
            let message = format!("an event is over the limit of {}", Size(limit as u64));
            return Err(ErrorResponse::too_large(message));
        }
        // The decoded form may be longer than the body.
        let more = size_of_val(spans) + decoded.body.len().saturating_sub(received);
        if content.reserved.grow(more) {
            Ok(decoded)
        } else {
            Err(ErrorResponse::unavailable("the memory limit of the server is reached; try again later"))
        }
    }

    /// Returns the attributes of a request. If they equal those of the previous request on the connection, they are
    /// shared.
    fn attributes(&self, head: &Parts, peer: &Peer, pending: Option<&PendingRequest>) -> Arc<Attributes> {
        if let Some(pending) = pending {
            return Arc::new(collect(self.texts(head, peer)).with(REQUEST, pending.id()));
        }
        let mut last = peer.attributes.lock();
        let known = last.iter().map(|(name, _)| (name, last.text(name)));
        if known.eq(self.texts(head, peer).map(|(name, value)| (name, Some(value)))) {
            return Arc::clone(&last);
        }
        let made = Arc::new(collect(self.texts(head, peer)));
        let bytes = self.texts(head, peer).map(|(_, value)| value.len()).sum::<usize>();
        *last = if bytes <= KEPT_BYTES { Arc::clone(&made) } else { Arc::default() };
        made
    }

    /// Returns the attributes that are text.
    fn texts<'r>(&'r self, head: &'r Parts, peer: &'r Peer) -> impl Iterator<Item = (&'r str, &'r str)> {
        let fixed = [
            ("method", Some(head.method.as_str())),
            ("path", Some(head.uri.path())),
            ("remote_addr", Some(peer.address.as_str())),
            ("query", head.uri.query()),
            ("content_type", text(&head.headers, CONTENT_TYPE.as_str())),
        ];
        let own = self.settings.headers.iter();
        let own = own.map(|(name, attribute)| (attribute.as_str(), text(&head.headers, name.as_str())));
        fixed.into_iter().chain(own).filter_map(|(name, value)| Some((name, value?)))
    }
}

fn collect<'t>(texts: impl Iterator<Item = (&'t str, &'t str)>) -> Attributes {
    texts.fold(Attributes::default(), |attributes, (name, value)| attributes.with(name.to_owned(), value))
}

/// Returns a header's value, if it is text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn problem(problem: DecodeError) -> ErrorResponse {
    match problem {
        DecodeError::Malformed(message) => ErrorResponse::new(StatusCode::BAD_REQUEST, message),
        DecodeError::Unsupported(content_type) => {
            let content_type: String = content_type.chars().take(100).collect();
            let message = format!(
                "a body of type {content_type} cannot be decoded: send application/json, \
                 application/x-ndjson or text/plain, or let the server have `decode = \"form\"` or \"text\""
            );
            let accept = HeaderValue::from_static("application/json, application/x-ndjson, text/*");
            ErrorResponse::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).with(ACCEPT, accept)
        }
        DecodeError::TooMany(limit) => {
            ErrorResponse::too_large(format!("the body is more than {limit} events; send it in parts"))
        }
    }
}

fn late(options: &Options) -> ErrorResponse {
    let rest = if options.run_on { "its events run on" } else { "the rest of its work is cancelled" };
    let message = format!("the pipeline did not finish this request within {}; {rest}", options.time_limit);
    ErrorResponse::new(StatusCode::GATEWAY_TIMEOUT, message)
}

fn too_large() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the results of this request exceed the limit of the server; request less at a time",
    )
}
