//! The source `http_poll`: asks a URL again and again.
//!
//! `walk` is one poll over its pages, `pages` the addresses of pages, `decode` the events of an answer.

mod body;
mod cursor;
mod decode;
pub(crate) mod fuzzing;
mod options;
mod pages;
mod position;
mod report;
mod schedule;
#[cfg(test)]
mod tests;
mod unique;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;

use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, StatusCode, Url};
use tidegate_sdk::{
    Attributes, Batch, Class, ConfigError, Cx, Error, Plugin, Position, Replay, Source, SourceBatch,
    SourceRejection, async_trait,
};

use self::body::Body;
use self::cursor::Seen;
use self::decode::{Decoded, Decoder, rejection};
use self::options::PollOptions;
use self::pages::{Page, Pages};
use self::position::Place;
use self::report::Report;
use self::schedule::Schedule;
use self::unique::Unique;
use self::walk::{Cut, Step, Walk, Way};
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
    /// The body, if values are put into it.
    body: Option<Body>,
    warnings: Vec<ConfigError>,
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
    /// A poll that was cut, with which the next one goes on.
    suspended: Option<Walk>,
    /// The batches of one page that are not handed over yet.
    ready: VecDeque<SourceBatch>,
    /// The place after what was handed over last.
    kept: Place,
    report: Report,
}

impl HttpPoll {
    fn new(options: PollOptions) -> Result<Self, ConfigError> {
        let schedule = Schedule::new(&options)?;
        options.check()?;
        let mut url = checked_url(&options.url, "/url")?;
        let query = options.exchange.query_pairs();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = Method::from(options.method);
        let caller = Caller::new(&options.exchange, &method)?;
        let mut headers = HeaderMap::new();
        let warnings = options.warnings();
        let in_body = [
            (
                "/pagination/body_path",
                options.pagination.as_ref().is_some_and(|page| page.body_path.is_some()),
            ),
            ("/cursor/body_path", options.cursor.as_ref().is_some_and(|cursor| cursor.body_path.is_some())),
        ];
        let put_into = in_body.iter().find(|(_, given)| *given);
        let template =
            put_into.map(|(pointer, _)| Body::new(options.body.as_deref(), pointer)).transpose()?;
        if template.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = options.body.map(bytes::Bytes::from);
        if body.as_ref().is_some_and(|body| tidegate_sdk::json::check(body).is_ok()) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let pages = Pages::new(options.pagination)?;
        let cursor = options.cursor.map(cursor::Cursor::new).transpose()?;
        let unique = options.unique.as_ref().map(|_| Unique::new(options.unique_events));
        let decoder =
            Decoder { decode: options.decode, items: options.items, unique: options.unique, cursor };
        Ok(Self {
            caller,
            question: Question { method, url, headers, body },
            body: template,
            warnings,
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
            suspended: None,
            ready: VecDeque::new(),
            kept: Place::default(),
            report: Report::default(),
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
        let first = || Walk::at(None, 0, Seen::from(self.since.clone()), 0);
        self.walk = Some(self.suspended.take().unwrap_or_else(first));
        Ok(true)
    }

    /// The question for the current page.
    fn question(&self, walk: &Walk) -> Question {
        let since = self.decoder.cursor.as_ref().zip(self.since.as_deref());
        let in_query = since.filter(|(cursor, _)| cursor.pointer.is_none());
        let parameters = in_query.map(|(cursor, since)| (cursor.parameter.as_str(), since));
        let url = self.pages.url(&self.question.url, parameters.as_slice(), walk.next.as_ref());
        let mut question = Question { url, ..self.question.clone() };
        if let Some(body) = &self.body {
            let since = since.and_then(|(cursor, since)| Some((cursor.pointer.as_deref()?, since)));
            question.body = Some(body.with(since, self.pages.in_body(walk.next.as_ref())));
        }
        if let Some((known, headers)) = &self.validators
            && *known == question.url
        {
            question.headers.extend(headers.clone());
        }
        question
    }

    fn way(&self) -> Way<'_> {
        Way { pages: &self.pages, base: &self.question.url, max_pages: self.max_pages }
    }

    /// Makes batches of an answer, and goes on to the next page.
    async fn take(&mut self, url: &Url, answer: &Answer, cx: &Cx) -> Result<(), Error> {
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        if self.is_end(&walk, answer) {
            walk.useful = true;
            let place = self.end(walk, cx);
            self.keep(place);
            return Ok(());
        }
        if let Some(error) = answer.error() {
            return self.refused(walk, answer, error, cx);
        }
        let before = self.place(&walk);
        let attributes = Attributes::default()
            .with("url", shown(url))
            .with("status", i64::from(answer.status.as_u16()))
            .with("page", walk.taken as i64 + 1);
        let mut page = Page { url, headers: &answer.headers, body: &answer.body, count: 0 };
        let repeat = walk.is_repeat(&self.way(), &page);
        let mut seen = walk.seen.clone();
        match self.decode(answer, &mut seen, cx).await? {
            Ok(mut decoded) => {
                page.count = decoded.count;
                let step = walk.go_on(&self.way(), &page);
                self.look(&walk, &page, &step, &decoded, cx);
                walk.useful |= decoded.is_useful();
                if repeat {
                    tracing::warn!(
                        component = cx.component(),
                        page = walk.taken,
                        "a page is the one before once more"
                    );
                    decoded = Decoded::default();
                } else {
                    walk.seen = seen;
                }
                let after = self.step(walk, step, cx);
                self.validators = self.validators_of(url, &answer.headers, &after);
                self.hand_over(decoded, &Arc::new(attributes), &before, after);
            }
            Err(reason) => self.pass_over(walk, answer, page, &reason, cx),
        }
        Ok(())
    }

    /// Whether there is nothing in this answer: nothing has changed, or the page lies behind the last one.
    fn is_end(&self, walk: &Walk, answer: &Answer) -> bool {
        let refused = || answer.error().is_some_and(|error| error.class() == Class::Reject);
        match answer.status {
            StatusCode::NOT_MODIFIED => true,
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                walk.is_later() && self.pages.are_numbered()
            }
            _ => walk.is_past_the_end(&self.pages) && refused(),
        }
    }

    /// Takes note of what a page says about the settings.
    fn look(&mut self, walk: &Walk, page: &Page<'_>, step: &Step, decoded: &Decoded, cx: &Cx) {
        match decoded.rejected.first() {
            Some(rejection) if !decoded.is_useful() => self.report.unusable(cx, &rejection.reason),
            _ => self.report.usable(),
        }
        if *step == Step::More {
            self.report.led();
        } else if walk.taken == 1 && page.may_be_full() {
            let lead = self.pages.missing_lead(page);
            lead.into_iter().for_each(|lead| self.report.leads_nowhere(cx, &lead));
        }
    }

    /// Goes on after an answer that is of no use. Where nobody knows what comes behind it, the poll ends.
    fn pass_over(&mut self, mut walk: Walk, answer: &Answer, page: Page<'_>, reason: &str, cx: &Cx) {
        let has_pages = !matches!(self.pages, Pages::One);
        if has_pages && self.decoder.cursor.is_some() && !walk.again {
            // The cursor will move past this page: it may have been cut off on its way.
            walk.again = true;
            self.walk = Some(walk);
            return;
        }
        self.report.unusable(cx, reason);
        let (first, number) = (walk.stuck == 0, walk.taken + 1);
        let step = walk.pass_over(&self.way(), &page, reason);
        let after = self.step(walk, step, cx);
        if first {
            let reason = if has_pages { format!("page {number}: {reason}") } else { reason.to_owned() };
            let rejected = vec![rejection(&answer.body, reason)];
            self.push_empty(rejected, after);
        } else {
            self.keep(after);
        }
    }

    /// The events of an answer, or why it is of no use. Large ones are read off the async workers.
    async fn decode(
        &mut self,
        answer: &Answer,
        seen: &mut Seen,
        cx: &Cx,
    ) -> Result<Result<Decoded, String>, Error> {
        if let Some(fault) = &answer.fault {
            return Ok(Err(fault.message().to_owned()));
        }
        let (decoder, body, limit) = (Arc::clone(&self.decoder), answer.body.clone(), cx.event_size());
        let (mut unique, mut noted) = (self.unique.take(), std::mem::take(seen));
        let work = move || {
            let decoded = decoder.decode(&body, limit, unique.as_mut(), &mut noted);
            (decoded, unique, noted)
        };
        let large = answer.body.len() > LARGE;
        let done = if large { cx.spawn_blocking(work).await } else { Ok(work()) };
        let (decoded, unique, noted) =
            done.map_err(|error| Error::fatal(format!("the task that reads the answer ended: {error}")))?;
        (self.unique, *seen) = (unique, noted);
        Ok(decoded.map_err(|reason| format!("{}: {reason}", answer.question)))
    }

    /// Does what follows a page. Returns the place that it ends at.
    fn step(&mut self, walk: Walk, step: Step, cx: &Cx) -> Place {
        match step {
            Step::More => {
                let place = self.place(&walk);
                self.walk = Some(walk);
                place
            }
            Step::End => self.end(walk, cx),
            Step::Cut(cut) => self.cut(walk, &cut, cx),
        }
    }

    /// The poll is over and was read to its end: the cursor moves.
    fn end(&mut self, walk: Walk, cx: &Cx) -> Place {
        self.made += 1;
        self.report.complete(cx, walk.useful);
        self.since = walk.seen.value;
        self.place(&Walk::default())
    }

    /// The poll is over and was not read to its end: the cursor stays, unless what was not read cannot lie before it.
    fn cut(&mut self, walk: Walk, cut: &Cut, cx: &Cx) -> Place {
        self.made += 1;
        let cursor = self.decoder.cursor.as_ref();
        let resumes = cut.resumes && cursor.is_some();
        let safe =
            cursor.filter(|_| !resumes).and_then(|cursor| cursor.safe(&walk.seen, self.since.as_deref()));
        let next = match (cursor, resumes, &safe) {
            (None, ..) => "the next poll begins at the first page",
            (_, true, _) => "the cursor stays, and the next poll goes on there",
            (_, _, Some(_)) => "the values only rose, so the cursor moves as far as they were read",
            _ => "the cursor stays, and the next poll begins at the first page",
        };
        self.report.cut(cx, cut, walk.taken, walk.useful, next);
        if resumes {
            let walk = walk.resumed();
            let place = self.place(&walk);
            self.suspended = Some(walk);
            return place;
        }
        self.since = safe.or(self.since.take());
        self.place(&Walk::default())
    }

    /// An answer that is an error. The page is asked for again; but a later one that the server will never give (its
    /// limit is reached, its cursor has expired) cuts the poll.
    fn refused(&mut self, walk: Walk, answer: &Answer, error: Error, cx: &Cx) -> Result<(), Error> {
        let gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if walk.is_later() && (gone || error.class() == Class::Reject) {
            let place = self.cut(walk, &Cut::needing_help(error.message()), cx);
            self.keep(place);
            return Ok(());
        }
        self.walk = Some(walk);
        if error.class() != Class::Reject {
            return Err(error);
        }
        let misconfigured = Error::misconfigured(error.message());
        Err(match error.retry_after() {
            Some(pause) => misconfigured.after(pause),
            None => misconfigured,
        })
    }

    fn place(&self, walk: &Walk) -> Place {
        Place {
            since: self.since.clone(),
            seen: walk.seen.value.clone(),
            order: walk.seen.order.clone(),
            next: walk.next.clone(),
            taken: walk.taken,
            stuck: walk.stuck,
        }
    }

    /// The headers that ask only for what has changed since a complete poll.
    fn validators_of(&self, url: &Url, headers: &HeaderMap, after: &Place) -> Option<(Url, HeaderMap)> {
        (self.conditional && after.next.is_none()).then(|| (url.clone(), validators(headers)))
    }

    /// Queues the batches of one page. Until the last of them is safe, the page is read again after a crash.
    fn hand_over(&mut self, decoded: Decoded, attributes: &Arc<Attributes>, before: &Place, after: Place) {
        let mut rejected = decoded.rejected;
        let count = decoded.batches.len();
        for (index, builder) in decoded.batches.into_iter().enumerate() {
            let mut builder = builder.with_attributes(Arc::clone(attributes));
            if self.decoder.cursor.is_some() {
                builder.set_position(Position::new(if index + 1 == count { &after } else { before }));
            }
            let batch = SourceBatch::from(builder.finish());
            self.ready.push_back(batch.with_rejected(std::mem::take(&mut rejected)));
        }
        if count > 0 {
            self.kept = after;
        } else if rejected.is_empty() {
            self.keep(after);
        } else {
            self.push_empty(rejected, after);
        }
    }

    /// Queues a place that no event carries, if it is another than the one before.
    fn keep(&mut self, place: Place) {
        if self.decoder.cursor.is_some() && place != self.kept {
            self.push_empty(Vec::new(), place);
        }
    }

    fn push_empty(&mut self, rejected: Vec<SourceRejection>, place: Place) {
        let mut builder = Batch::builder();
        if self.decoder.cursor.is_some() {
            builder.set_position(Position::new(&place));
        }
        self.kept = place;
        self.ready.push_back(SourceBatch::from(builder.finish()).with_rejected(rejected));
    }
}

#[async_trait]
impl Source for HttpPoll {
    fn replay(&self) -> Replay {
        match self.decoder.cursor {
            Some(_) => Replay::Redelivery,
            None => Replay::Never,
        }
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.warnings.clone()
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.caller.open()?;
        let Some(position) = cx.resume("").filter(|_| self.decoder.cursor.is_some()) else { return Ok(()) };
        let place: Place = position.read()?;
        self.kept.clone_from(&place);
        self.since = place.since;
        let next = place.next.filter(|next| self.pages.lead_to(next, &self.question.url));
        let seen = Seen { value: place.seen, order: place.order };
        self.walk = next.map(|next| Walk::at(Some(next), place.taken, seen, place.stuck));
        if self.walk.is_some() {
            self.schedule.begun();
        }
        // An earlier run has reported what its first page told about the pagination.
        self.report.led();
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
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

/// The headers that ask for an answer only if it is another than this one (RFC 9110, section 13).
fn validators(answered: &HeaderMap) -> HeaderMap {
    let pairs: [(HeaderName, HeaderName); 2] = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
    let sent = pairs.into_iter().filter_map(|(known, asks)| Some((asks, answered.get(known)?.clone())));
    sent.collect()
}
