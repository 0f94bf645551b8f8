//! The source `http_poll`: polls a URL.
//!
//! `walk` follows one poll over its pages, `pages` finds the URLs of pages, and `decode` makes events of a response.

mod build;
mod cursor;
mod decode;
pub(crate) mod fuzzing;
mod health;
mod options;
mod pages;
mod position;
mod request;
mod schedule;
#[cfg(test)]
mod tests;
mod unique;
mod validators;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};
use tidegate_sdk::{
    Attributes, Batch, Class, ConfigError, Cx, Error, Plugin, Position, Replay, Source, SourceBatch,
    SourceRejection, async_trait,
};

use self::cursor::{Cursor, CursorValues};
use self::decode::{Decoded, Decoder, Input, rejection};
use self::health::PollHealth;
use self::pages::{Lead, Page, Pages, Place};
use self::position::PollPosition;
use self::request::{RequestTemplate, Values};
use self::schedule::Schedule;
use self::unique::Unique;
use self::walk::{Incomplete, Step, Walk, WalkContext};
use super::HttpClient;
use super::http_client::Request;
use super::options::redacted;
use super::response::Response;

const SAMPLE: &str = r#"[source.users]
plugin = "http_poll"
url = "https://api.example.com/users"
interval = "60s"
auth = { bearer = "${API_TOKEN}" }
items = ".data.users"
pagination = { kind = "cursor", from = ".next_cursor" }
cursor = { from = ".updated_at", parameter = "updated_since" }
"#;

/// A response of more bytes than this takes milliseconds to decode.
const LARGE: usize = 256 << 10;

pub(super) fn plugin() -> Plugin {
    let summary = "polls a URL, and makes events of the responses";
    Plugin::source("http_poll", summary, SAMPLE, HttpPoll::new)
}

/// The source `http_poll`.
struct HttpPoll {
    client: HttpClient,
    template: RequestTemplate,
    warnings: Vec<ConfigError>,
    schedule: Schedule,
    decoder: Arc<Decoder>,
    pages: Pages,
    max_pages: u64,
    /// The pause before a page that is not the first.
    delay: Option<Duration>,
    /// Set if the pause was made.
    is_delayed: bool,
    /// The number of polls to make.
    times: Option<u64>,
    made: u64,
    unique: Option<Unique>,
    /// The cursor's value after the last complete poll.
    since: Option<String>,
    conditional: bool,
    /// Headers of a conditional request, and their URL.
    validators: Option<(Url, HeaderMap)>,
    /// The current poll.
    walk: Option<Walk>,
    /// An incomplete poll that the next one continues.
    suspended: Option<Walk>,
    /// The batches of one page that are not emitted yet.
    ready: VecDeque<SourceBatch>,
    /// The position after the last batch.
    kept: PollPosition,
    health: PollHealth,
}

impl HttpPoll {
    /// Waits for the next poll. Returns false if there is none.
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
        let first = || Walk::at(None, 0, CursorValues::from(self.since.clone()), 0);
        self.walk = Some(self.suspended.take().unwrap_or_else(first));
        Ok(true)
    }

    /// Returns the request for the current page.
    ///
    /// # Errors
    /// If a value cannot stand in its place.
    fn request(&self, walk: &Walk) -> Result<Request, Error> {
        let since = self.decoder.cursor.as_ref().zip(self.since.as_deref());
        let (mut parameters, mut inserted) = (None, Vec::new());
        match since {
            Some((cursor, since)) if cursor.place == Place::Query => {
                parameters = Some((cursor.parameter.as_str(), since));
            }
            Some((Cursor { place: Place::Body(pointer), .. }, since)) => {
                inserted.push((pointer.as_str(), since.into()));
            }
            _ => {}
        }
        inserted.extend(self.pages.in_body(walk.next.as_ref()));
        let page = self.pages.value(walk.next.as_ref());
        let values = Values {
            cursor: since.map(|(_, since)| since.to_owned()).into_iter().collect(),
            page: page.map(|page| page.as_str().map_or_else(|| page.to_string(), str::to_owned)),
            page_is_number: self.pages.are_numbered(),
        };
        let request =
            self.template.request(&self.pages, &values, parameters.as_slice(), &inserted, walk.next.as_ref());
        let mut request = request.map_err(Error::misconfigured)?;
        if let Some((known, headers)) = &self.validators
            && *known == request.url
        {
            request.headers.extend(headers.clone());
        }
        Ok(request)
    }

    fn context(&self) -> WalkContext<'_> {
        WalkContext { pages: &self.pages, base: self.template.base(), max_pages: self.max_pages }
    }

    /// Makes batches of a response, and moves to the next page.
    async fn take(&mut self, url: &Url, response: &Response, cx: &Cx) -> Result<(), Error> {
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        if self.is_end(&walk, response) {
            walk.useful = true;
            let position = self.end(walk, cx);
            self.keep(position);
            return Ok(());
        }
        if let Some(error) = response.error() {
            return self.refused(walk, response, error, cx);
        }
        let before = self.position(&walk);
        let attributes = Attributes::default()
            .with("url", redacted(url))
            .with("status", i64::from(response.status.as_u16()))
            .with("page", walk.taken as i64 + 1);
        let nowhere = Lead::default();
        let page = Page { url, headers: &response.headers, body: &response.body, count: 0, lead: &nowhere };
        let mut seen = walk.seen.clone();
        match self.decode(response, &mut seen, cx).await? {
            Ok(mut decoded) => {
                let lead = std::mem::take(&mut decoded.lead);
                let page = Page { count: decoded.count, lead: &lead, ..page };
                let repeat = walk.is_repeat(&self.context(), &page);
                let step = walk.go_on(&self.context(), &page);
                self.look(&walk, &page, &step, &decoded, cx);
                walk.useful |= decoded.is_useful();
                if repeat {
                    tracing::warn!(
                        component = cx.component(),
                        page = walk.taken,
                        "a page repeats the one before"
                    );
                    decoded = Decoded::default();
                } else {
                    walk.seen = seen;
                }
                let after = self.step(walk, step, cx);
                self.validators = self.validators_of(url, &response.headers, &after);
                self.emit(decoded, &Arc::new(attributes), &before, after);
            }
            Err(reason) => self.pass_over(walk, response, page, &reason, cx),
        }
        Ok(())
    }

    /// Returns whether the response ends the poll without events: nothing has changed, or the page is after the last
    /// one.
    fn is_end(&self, walk: &Walk, response: &Response) -> bool {
        let refused = || response.error().is_some_and(|error| error.class() == Class::Reject);
        match response.status {
            StatusCode::NOT_MODIFIED => true,
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                walk.is_later() && self.pages.are_numbered()
            }
            _ => walk.is_past_the_end(&self.pages) && refused(),
        }
    }

    /// Records what a page shows about the settings.
    fn look(&mut self, walk: &Walk, page: &Page<'_>, step: &Step, decoded: &Decoded, cx: &Cx) {
        match decoded.rejected.first() {
            Some(rejection) if !decoded.is_useful() => self.health.unusable(cx, &rejection.reason),
            _ => self.health.usable(),
        }
        if *step == Step::More {
            self.health.led();
        } else if walk.taken == 1 && page.may_be_full() {
            let lead = self.pages.missing_lead(page);
            lead.into_iter().for_each(|lead| self.health.leads_nowhere(cx, &lead));
        }
    }

    /// Continues after an unusable response. If the next page is unknown, the poll ends.
    fn pass_over(&mut self, mut walk: Walk, response: &Response, page: Page<'_>, reason: &str, cx: &Cx) {
        let has_pages = !matches!(self.pages, Pages::One);
        if has_pages && self.decoder.cursor.is_some() && !walk.again {
            // The cursor will move past this page, and the response may be truncated.
            walk.again = true;
            self.walk = Some(walk);
            return;
        }
        self.health.unusable(cx, reason);
        let (first, number) = (walk.stuck == 0, walk.taken + 1);
        let step = walk.pass_over(&self.context(), &page, reason);
        let after = self.step(walk, step, cx);
        if first {
            let reason = if has_pages { format!("page {number}: {reason}") } else { reason.to_owned() };
            let rejected = vec![rejection(&response.body, reason)];
            self.push_empty(rejected, after);
        } else {
            self.keep(after);
        }
    }

    /// Decodes the events of a response, or returns why it is unusable. Large responses are decoded on the blocking
    /// pool.
    async fn decode(
        &mut self,
        response: &Response,
        seen: &mut CursorValues,
        cx: &Cx,
    ) -> Result<Result<Decoded, String>, Error> {
        if let Some(fault) = &response.fault {
            return Ok(Err(fault.message().to_owned()));
        }
        let (decoder, limit) = (Arc::clone(&self.decoder), cx.event_size());
        let headers = if decoder.evaluates() { response.headers.clone() } else { HeaderMap::new() };
        let input = Input { body: response.body.clone(), status: response.status, headers };
        let (mut unique, mut noted) = (self.unique.take(), std::mem::take(seen));
        let work = move || {
            let decoded = decoder.decode(&input, limit, unique.as_mut(), &mut noted);
            (decoded, unique, noted)
        };
        let large = response.body.len() > LARGE || self.decoder.evaluates();
        let done = if large { cx.spawn_blocking(work).await } else { Ok(work()) };
        let (decoded, unique, noted) =
            done.map_err(|error| Error::fatal(format!("the task that reads the response ended: {error}")))?;
        (self.unique, *seen) = (unique, noted);
        Ok(decoded.map_err(|reason| format!("{}: {reason}", response.request)))
    }

    /// Performs the step after a page. Returns the new position.
    fn step(&mut self, walk: Walk, step: Step, cx: &Cx) -> PollPosition {
        match step {
            Step::More => {
                let position = self.position(&walk);
                self.walk = Some(walk);
                position
            }
            Step::End => self.end(walk, cx),
            Step::Incomplete(cut) => self.cut(walk, &cut, cx),
        }
    }

    /// Ends a complete poll: the cursor moves.
    fn end(&mut self, walk: Walk, cx: &Cx) -> PollPosition {
        self.made += 1;
        self.health.complete(cx, walk.useful);
        self.since = walk.seen.value;
        self.position(&Walk::default())
    }

    /// Ends an incomplete poll: the cursor stays, unless the unread pages cannot hold smaller values.
    fn cut(&mut self, walk: Walk, cut: &Incomplete, cx: &Cx) -> PollPosition {
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
        self.health.cut(cx, cut, walk.taken, walk.useful, next);
        if resumes {
            let walk = walk.resumed();
            let position = self.position(&walk);
            self.suspended = Some(walk);
            return position;
        }
        self.since = safe.or(self.since.take());
        self.position(&Walk::default())
    }

    /// Handles an error response. The page is requested again, but a later page that the server refuses for good (its
    /// limit is reached, its cursor has expired) ends the poll.
    fn refused(&mut self, walk: Walk, response: &Response, error: Error, cx: &Cx) -> Result<(), Error> {
        let gone = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if walk.is_later() && (gone || error.class() == Class::Reject) {
            let position = self.cut(walk, &Incomplete::needing_help(error.message()), cx);
            self.keep(position);
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

    fn position(&self, walk: &Walk) -> PollPosition {
        PollPosition {
            since: self.since.clone(),
            seen: walk.seen.value.clone(),
            order: walk.seen.order.clone(),
            next: walk.next.clone(),
            taken: walk.taken,
            stuck: walk.stuck,
        }
    }

    /// Returns the headers of a conditional request, after a complete poll.
    fn validators_of(
        &self,
        url: &Url,
        headers: &HeaderMap,
        after: &PollPosition,
    ) -> Option<(Url, HeaderMap)> {
        (self.conditional && after.next.is_none()).then(|| (url.clone(), validators::of(headers)))
    }

    /// Queues the batches of one page. A crash before the last of them is delivered repeats the page.
    fn emit(
        &mut self,
        decoded: Decoded,
        attributes: &Arc<Attributes>,
        before: &PollPosition,
        after: PollPosition,
    ) {
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

    /// Queues a position without events, if it differs from the one before.
    fn keep(&mut self, position: PollPosition) {
        if self.decoder.cursor.is_some() && position != self.kept {
            self.push_empty(Vec::new(), position);
        }
    }

    fn push_empty(&mut self, rejected: Vec<SourceRejection>, position: PollPosition) {
        let mut builder = Batch::builder();
        if self.decoder.cursor.is_some() {
            builder.set_position(Position::new(&position));
        }
        self.kept = position;
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
        self.client.open()?;
        let Some(position) = cx.resume("").filter(|_| self.decoder.cursor.is_some()) else { return Ok(()) };
        let position: PollPosition = position.read()?;
        self.kept.clone_from(&position);
        self.since = position.since;
        let next = position.next.filter(|next| self.pages.lead_to(next, self.template.base()));
        let seen = CursorValues { value: position.seen, order: position.order };
        self.walk = next.map(|next| Walk::at(Some(next), position.taken, seen, position.stuck));
        if self.walk.is_some() {
            self.schedule.begun();
        }
        // An earlier run has already reported doubts about the pagination.
        self.health.led();
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
            if let Some(delay) = self.delay.filter(|_| walk.is_later() && !self.is_delayed) {
                if !cx.sleep(delay).await {
                    return Ok(None);
                }
                self.is_delayed = true;
            }
            let Some(walk) = &self.walk else { continue };
            let request = self.request(walk)?;
            let response = tokio::select! {
                biased;
                () = cx.stopping() => return Ok(None),
                response = self.client.fetch(&request) => response?,
            };
            self.is_delayed = false;
            self.take(&request.url, &response, cx).await?;
        }
    }
}
