//! One request, from its head to its answer.

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

use super::answer::{self, Answer, Refusal};
use super::body::{self, Content};
use super::decode::{Decoded, Problem, decode};
use super::gate::{self, Passage, Rate};
use super::guard::Phase;
use super::intake::{Intake, Share, Waiting};
use super::options::{Options, Respond, Settings};
use super::query;
use crate::budget::Budget;
use crate::exchange::{Exchange, REQUEST, Ticket, TooLarge};

/// A body from this size on is decoded off the async workers: it takes longer than others should wait.
const LARGE: usize = 256 << 10;

/// How many bytes of attributes a connection keeps for its next request.
const KEPT_BYTES: usize = 1 << 10;

/// All that the requests of one server have in common.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) budget: Arc<Budget>,
    pub(super) rate: Option<Rate>,
    pub(super) intake: Intake,
    /// Counts the connections without a request so far. Requests are let in until there are none, when a reload replaces
    /// the server.
    pub(super) newcomers: TaskTracker,
    pub(super) cx: Cx,
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its address and port.
    pub(super) address: String,
    /// What travelled beside the events of its last request. Most clients send the same again and again.
    pub(super) attributes: Mutex<Arc<Attributes>>,
    pub(super) phase: Arc<Phase>,
    /// Held until the first request is let in.
    newcomer: Mutex<Option<TaskTrackerToken>>,
}

impl Peer {
    /// The other end of a connection that has sent nothing yet.
    pub(super) fn new(address: String, newcomer: TaskTrackerToken) -> Self {
        let newcomer = Mutex::new(Some(newcomer));
        Self { address, attributes: Mutex::default(), phase: Arc::default(), newcomer }
    }
}

impl Server {
    /// Serves a request. Dropping the future (the client left) gives up its place in the exchange, and cancels what is
    /// left to do for it.
    pub(super) async fn serve(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        peer.phase.serving();
        let (head, mut body) = request.into_parts();
        let answer = self.answer(&head, &mut body, peer).await.unwrap_or_else(Refusal::into_answer);
        peer.phase.answering();
        answer
    }

    async fn answer(&self, head: &Parts, body: &mut Incoming, peer: &Peer) -> Result<Answer, Refusal> {
        peer.phase.unread(!body.is_end_stream());
        if let Passage::Answered(answer) = gate::pass(head, &self.settings, self.rate.as_ref())? {
            return Ok(answer);
        }
        let entry = self.intake.enter();
        drop(peer.newcomer.lock().take());
        let entry = entry?;
        let options = &self.settings.options;
        let mut content = body::read(body, &head.headers, options, &self.budget).await?;
        peer.phase.unread(false);
        let decoded = self.decode(head, &mut content).await?;
        let events = decoded.events.spans().len();
        let shape = options.answer_as.shape(decoded.shape);
        let ticket = (options.respond == Respond::Result)
            .then(|| self.exchange.open(options.inflated_size.as_usize(), &self.budget));
        if events == 0 {
            return match ticket {
                Some(ticket) => Ok(answer::result(ticket.render(shape).map_err(|TooLarge| too_large())?)),
                None => Ok(answer::taken(StatusCode::OK, 0)),
            };
        }
        let attributes = self.attributes(head, peer, ticket.as_ref());
        let gone = CancellationToken::new();
        let (share, outcome, client) = match options.respond {
            Respond::Accepted => (None, None, Client::answered()),
            Respond::Delivered | Respond::Result => {
                let (share, outcome) = Share::new();
                (Some(share), Some(outcome), Client::waiting(gone.clone()))
            }
        };
        entry.queue(Waiting { decoded, attributes, share, client, _reserved: content.reserved })?;
        // Whether it is answered, late, or dropped with this future because its client left.
        let _over = (!options.run_on).then(|| gone.drop_guard());
        let Some(outcome) = outcome else { return Ok(answer::taken(StatusCode::ACCEPTED, events)) };
        match tokio::time::timeout(*options.time_limit, outcome).await {
            Err(_) => Err(late(options)),
            Ok(Ok(Outcome::Delivered)) => match ticket {
                Some(ticket) => Ok(answer::result(ticket.render(shape).map_err(|TooLarge| too_large())?)),
                None => Ok(answer::taken(StatusCode::OK, events)),
            },
            Ok(Ok(Outcome::Rejected(reason))) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason)),
            Ok(Ok(Outcome::Failed) | Err(_)) => {
                Err(Refusal::unavailable("the pipeline did not get through with this; try again later"))
            }
        }
    }

    /// The events of a request: those of its body, or the one that it is itself.
    async fn decode(&self, head: &Parts, content: &mut Content) -> Result<Decoded, Refusal> {
        let body = std::mem::take(&mut content.bytes);
        let received = body.len();
        let content_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let options = &self.settings.options;
        let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
        let decoded = if body.is_empty() && !(has_body && options.decode.takes_empty(content_type)) {
            let query = head.uri.query().unwrap_or_default();
            Decoded::whole(query::event(head.method.as_str(), head.uri.path(), query))
        } else if body.len() < LARGE {
            decode(body, options.decode, content_type, options.events).map_err(problem)?
        } else {
            let (how, limit, content_type) = (options.decode, options.events, content_type.to_owned());
            let decoded = self.cx.spawn_blocking(move || decode(body, how, &content_type, limit)).await;
            let failed = |_| Refusal::unavailable("the body could not be decoded; try again later");
            decoded.map_err(failed)?.map_err(problem)?
        };
        let spans = decoded.events.spans();
        let limit = self.cx.event_size();
        if spans.iter().any(|span| span.length as usize > limit) {
            let message = format!("an event is over the limit of {}", Size(limit as u64));
            return Err(Refusal::too_large(message));
        }
        // What is decoded may be longer than what came.
        let more = size_of_val(spans) + decoded.body.len().saturating_sub(received);
        if content.reserved.grow(more) {
            Ok(decoded)
        } else {
            Err(Refusal::unavailable("the server holds as many bytes as it may; try again later"))
        }
    }

    /// What travels beside the events: for a request like the one before it on its connection, the same.
    fn attributes(&self, head: &Parts, peer: &Peer, ticket: Option<&Ticket>) -> Arc<Attributes> {
        if let Some(ticket) = ticket {
            return Arc::new(collect(self.texts(head, peer)).with(REQUEST, ticket.id()));
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

    /// Each attribute of a request that is text.
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

/// A header's value, if it is text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn problem(problem: Problem) -> Refusal {
    match problem {
        Problem::Malformed(message) => Refusal::new(StatusCode::BAD_REQUEST, message),
        Problem::Unsupported(content_type) => {
            let content_type: String = content_type.chars().take(100).collect();
            let message = format!(
                "a body of type {content_type} does not become events by itself: send application/json, \
                 application/x-ndjson or text/plain, or let the server have `decode = \"form\"` or \"text\""
            );
            let accept = HeaderValue::from_static("application/json, application/x-ndjson, text/*");
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).with(ACCEPT, accept)
        }
        Problem::TooMany(limit) => {
            Refusal::too_large(format!("the body is more than {limit} events; send it in parts"))
        }
    }
}

fn late(options: &Options) -> Refusal {
    let rest = if options.run_on { "its events run on" } else { "what was left to do is cancelled" };
    let message =
        format!("the pipeline was not done with this request within {}; {rest}", options.time_limit);
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, message)
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the results of this request are more than the server may hold; ask for less at a time",
    )
}
