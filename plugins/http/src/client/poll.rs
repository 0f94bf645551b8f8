//! The source `http_poll`: asks a URL again and again.

mod cursor;
mod decode;
pub(crate) mod fuzzing;
mod options;
mod pages;
mod schedule;
#[cfg(test)]
mod tests;
mod unique;

use std::collections::VecDeque;
use std::sync::Arc;

use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Attributes, Batch, Class, ConfigError, Cx, Error, Plugin, Position, Replay, Source, SourceBatch,
    SourceRejection,
};

use self::decode::{Decoded, Decoder, rejection};
use self::options::{Decode, PollOptions};
use self::pages::{Next, Page, Pages, Walk};
use self::schedule::Schedule;
use self::unique::Unique;
use super::Caller;
use super::answer::Answer;
use super::caller::Question;
use super::options::{checked_url, shown};

const SAMPLE: &str = r#"[source.users]
plugin = "http_poll"
url = "https://api.example.com/users"
interval = "60s"
auth = { bearer = "${API_TOKEN}" }
items = ".data.users"
pagination = { kind = "cursor", from = ".next_cursor" }
cursor = { from = ".updated_at", parameter = "updated_since" }
"#;

/// An answer of more bytes than this takes milliseconds to read.
const LARGE: usize = 256 << 10;

pub(super) fn plugin() -> Plugin {
    let summary = "asks a URL again and again, and makes events of the answers";
    Plugin::source("http_poll", summary, SAMPLE, HttpPoll::new)
}

/// Asks a URL again and again.
struct HttpPoll {
    caller: Caller,
    question: Question,
    schedule: Schedule,
    decoder: Arc<Decoder>,
    pages: Pages,
    max_pages: u64,
    /// How many polls to make, and how many were made.
    times: Option<u64>,
    made: u64,
    unique: Option<Unique>,
    /// What the last complete poll has seen of the cursor.
    since: Option<String>,
    conditional: bool,
    /// Headers that ask only for what has changed, and the URL that they are for.
    validators: Option<(Url, HeaderMap)>,
    /// The poll under way.
    walk: Option<Walk>,
    /// What was read and not handed over yet: at most one page.
    ready: VecDeque<SourceBatch>,
    /// What is to be told once that is handed over.
    complaint: Option<Error>,
}

/// The stored position: where to go on after a batch.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    /// What the last complete poll has seen of the cursor.
    since: Option<String>,
    /// What the poll under way has seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    /// The page at which the poll under way goes on; none if it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
    /// How many pages it has taken.
    #[serde(default)]
    taken: u64,
}

impl HttpPoll {
    fn new(options: PollOptions) -> Result<Self, ConfigError> {
        let schedule = Schedule::new(&options)?;
        check(&options)?;
        let mut url = checked_url(&options.url, "/url")?;
        let query = options.exchange.query_pairs();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = Method::from(options.method);
        let caller = Caller::new(&options.exchange, &method)?;
        let mut headers = HeaderMap::new();
        let body = options.body.map(bytes::Bytes::from);
        if body.as_ref().is_some_and(|body| tidegate_sdk::json::check(body).is_ok()) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let pages = Pages::new(options.pagination)?;
        let cursor = options.cursor.map(cursor::Cursor::new);
        let unique = options.unique.as_ref().map(|_| Unique::new(options.unique_events));
        let decoder =
            Decoder { decode: options.decode, items: options.items, unique: options.unique, cursor };
        Ok(Self {
            caller,
            question: Question { method, url, headers, body },
            schedule,
            conditional: options.conditional && matches!(pages, Pages::One),
            max_pages: options.max_pages,
            times: options.times,
            made: 0,
            unique,
            since: decoder.cursor.as_ref().and_then(|cursor| cursor.initial.clone()),
            decoder: Arc::new(decoder),
            pages,
            validators: None,
            walk: None,
            ready: VecDeque::new(),
            complaint: None,
        })
    }

    /// Waits for the next poll. False if there is none.
    async fn begin(&mut self, cx: &Cx) -> Result<bool, Error> {
        if let Some(times) = self.times {
            cx.progress().set(self.made, times);
            if self.made >= times {
                return Ok(false);
            }
        }
        if !self.schedule.wait(cx).await? {
            return Ok(false);
        }
        self.walk = Some(Walk::at(None, 0, self.since.clone()));
        Ok(true)
    }

    /// The question for the page at hand.
    fn question(&self, walk: &Walk) -> Question {
        let since = self.decoder.cursor.as_ref().zip(self.since.as_deref());
        let parameters = since.map(|(cursor, since)| (cursor.parameter.as_str(), since));
        let url = self.pages.url(&self.question.url, parameters.as_slice(), walk.next.as_ref());
        let mut question = Question { url, ..self.question.clone() };
        if let Some((known, headers)) = &self.validators
            && *known == question.url
        {
            question.headers.extend(headers.clone());
        }
        question
    }

    /// Makes batches of an answer, and goes on to the next page.
    async fn take(&mut self, url: &Url, answer: &Answer, cx: &Cx) -> Result<(), Error> {
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        let past_the_end = answer.status == StatusCode::NOT_FOUND && self.pages.are_numbered();
        if answer.status == StatusCode::NOT_MODIFIED || (past_the_end && walk.is_later()) {
            self.end(walk.seen);
            return Ok(());
        }
        if let Some(error) = answer.error() {
            return Err(self.refused(walk, answer, error));
        }
        let before = self.place(&walk);
        let number = walk.taken as i64 + 1;
        match self.decode(answer, &mut walk.seen, cx).await? {
            Ok(decoded) => {
                let after = self.go_on(walk, url, answer, decoded.count);
                let attributes = Attributes::default()
                    .with("url", shown(url))
                    .with("status", i64::from(answer.status.as_u16()))
                    .with("page", number);
                self.hand_over(decoded, &Arc::new(attributes), &before, &after);
            }
            // Nobody knows what comes behind it, so the poll ends, and its cursor with it.
            Err(reason) => {
                self.made += 1;
                self.ready.push_back(rejected_only(vec![rejection(&answer.body, reason)]));
            }
        }
        Ok(())
    }

    /// The events of an answer, or why it is of no use. Large ones are read off the async workers.
    async fn decode(
        &mut self,
        answer: &Answer,
        seen: &mut Option<String>,
        cx: &Cx,
    ) -> Result<Result<Decoded, String>, Error> {
        if let Some(fault) = &answer.fault {
            return Ok(Err(fault.message().to_owned()));
        }
        let (decoder, body, limit) = (Arc::clone(&self.decoder), answer.body.clone(), cx.event_size());
        let (mut unique, mut noted) = (self.unique.take(), seen.take());
        let work = move || {
            let decoded = decoder.decode(&body, limit, unique.as_mut(), &mut noted);
            (decoded, unique, noted)
        };
        let done = match answer.body.len() > LARGE {
            true => cx.spawn_blocking(work).await,
            false => Ok(work()),
        };
        let (decoded, unique, noted) =
            done.map_err(|error| Error::fatal(format!("the task that reads the answer ended: {error}")))?;
        (self.unique, *seen) = (unique, noted);
        Ok(decoded.map_err(|reason| format!("{}: {reason}", answer.question)))
    }

    /// Goes on behind the page that `answer` is. Returns the place that it ends at.
    fn go_on(&mut self, mut walk: Walk, url: &Url, answer: &Answer, count: u64) -> Place {
        let page = Page { url, headers: &answer.headers, body: &answer.body, count };
        match walk.go_on(&self.pages, &self.question.url, &page, self.max_pages) {
            Ok(true) => {
                let place = self.place(&walk);
                self.walk = Some(walk);
                return place;
            }
            Ok(false) => {
                self.end(walk.seen);
                self.validators = self.conditional.then(|| (url.clone(), validators(&answer.headers)));
            }
            Err(reason) => {
                self.made += 1;
                self.complaint = Some(Error::misconfigured(format!("{}: {reason}", answer.question)));
            }
        }
        self.place(&Walk::default())
    }

    /// The poll is over and was complete.
    fn end(&mut self, seen: Option<String>) {
        self.made += 1;
        self.since = seen;
    }

    /// An answer that is an error. The page is asked for again; but one that the server will never give
    /// (its cursor may have expired) ends the poll, so that the next one begins anew.
    fn refused(&mut self, walk: Walk, answer: &Answer, error: Error) -> Error {
        let gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let hopeless = walk.is_later() && (gone || error.class() == Class::Reject);
        if hopeless {
            self.made += 1;
        } else {
            self.walk = Some(walk);
        }
        match error.class() {
            Class::Reject => Error::misconfigured(error.message()),
            _ => error,
        }
    }

    fn place(&self, walk: &Walk) -> Place {
        let (seen, next) = (walk.seen.clone(), walk.next.clone());
        Place { since: self.since.clone(), seen, next, taken: walk.taken }
    }

    /// Queues the batches of one page. Until the last of them is safe, the page is read again after a crash.
    fn hand_over(&mut self, decoded: Decoded, attributes: &Arc<Attributes>, before: &Place, after: &Place) {
        let mut rejected = Some(decoded.rejected).filter(|rejected| !rejected.is_empty());
        let count = decoded.batches.len();
        for (index, builder) in decoded.batches.into_iter().enumerate() {
            let mut builder = builder.with_attributes(Arc::clone(attributes));
            if self.decoder.cursor.is_some() {
                builder.set_position(Position::new(if index + 1 == count { after } else { before }));
            }
            let rejected = rejected.take().unwrap_or_default();
            self.ready.push_back(SourceBatch::from(builder.finish()).with_rejected(rejected));
        }
        if let Some(rejected) = rejected {
            self.ready.push_back(rejected_only(rejected));
        }
    }
}

impl Source for HttpPoll {
    fn replay(&self) -> Replay {
        match self.decoder.cursor {
            Some(_) => Replay::Redelivery,
            None => Replay::Never,
        }
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.caller.open()?;
        let Some(position) = cx.resume("").filter(|_| self.decoder.cursor.is_some()) else { return Ok(()) };
        let place: Place = position.read()?;
        self.since = place.since;
        let next = place.next.filter(|next| self.pages.lead_to(next, &self.question.url));
        self.walk = next.map(|next| Walk::at(Some(next), place.taken, place.seen));
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if let Some(complaint) = self.complaint.take() {
                return Err(complaint);
            }
            if self.walk.is_none() && !self.begin(cx).await? {
                return Ok(None);
            }
            let Some(walk) = &self.walk else { continue };
            let question = self.question(walk);
            let answer = tokio::select! {
                biased;
                () = cx.stopping() => return Ok(None),
                answer = self.caller.fetch(&question) => answer?,
            };
            self.take(&question.url, &answer, cx).await?;
        }
    }
}

/// What was refused where no event came with it.
fn rejected_only(rejected: Vec<SourceRejection>) -> SourceBatch {
    SourceBatch::from(Batch::builder().finish()).with_rejected(rejected)
}

/// What makes no sense together.
fn check(options: &PollOptions) -> Result<(), ConfigError> {
    let json = matches!(options.decode, Decode::Json | Decode::JsonLines);
    for (name, given, sensible) in [
        ("items", options.items.is_some(), options.decode == Decode::Json),
        ("unique", options.unique.is_some(), json),
        ("cursor", options.cursor.is_some(), json),
    ] {
        if given && !sensible {
            return Err(ConfigError::at(
                format!("/{name}"),
                format!("`{name}` is found in JSON, which this answer is not"),
            )
            .help("leave it out, or set `decode = \"json\"`"));
        }
    }
    for (name, number) in [("max_pages", options.max_pages), ("unique_events", options.unique_events as u64)]
    {
        if number == 0 {
            return Err(
                ConfigError::at(format!("/{name}"), "at least 1").help("leave it out for the default")
            );
        }
    }
    Ok(())
}

/// The headers that ask for an answer only if it is another than this one (RFC 9110, section 13).
fn validators(answered: &HeaderMap) -> HeaderMap {
    let pairs: [(HeaderName, HeaderName); 2] = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
    let sent = pairs.into_iter().filter_map(|(known, asks)| Some((asks, answered.get(known)?.clone())));
    sent.collect()
}
