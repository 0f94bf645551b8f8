//! The source: reads entries of a stream as batches, and acknowledges each that was delivered.

pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod release;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration as Time, Instant};

use bytes::Bytes;
use tidegate_sdk::framing::without_mark;
use tidegate_sdk::{
    Attributes, BATCH_BYTES, BATCH_EVENTS, Batch, BatchBuilder, ConfigError, ConfigErrors, Cx, Duration,
    Error, Exclusive, Replay, Resource, Source, SourceBatch, SourceRejection, Span, async_trait, json,
};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::server::address::{Login, Target};
use crate::server::connection::{Connection, Dialer};
use crate::server::host_name;
use crate::server::resolve::resolve;

use ledger::Ledger;
use member::{Member, Trouble};
use options::{Form, Options, Start};
use page::{Entry, Id, Page};
use release::Release;

/// The longest wait for new entries. A pipeline that drains waits no longer.
const WAIT: Time = Time::from_millis(500);

/// The number of entries of the first read, and the most by which it grows from one read to the next.
const FIRST_COUNT: usize = 64;
const GROWTH: usize = 4;

/// The longest reply that is read, in bytes, unless one event may be longer.
const ANSWER_BYTES: usize = 64 << 20;

/// The source `redis_stream`.
pub(crate) struct RedisStream {
    options: Options,
    target: Target,
    login: Arc<Login>,
    dialer: Arc<Dialer>,
    ledger: Arc<Ledger>,
    member: Option<Arc<Member>>,
    releasing: Option<JoinHandle<()>>,
    connection: Option<Connection>,
    /// The last of this consumer's pending entries that was read. `None` once all of them are read.
    pending: Option<Id>,
    /// The id at which the take-over continues, and the end of its last round.
    take_over: (Id, Option<Instant>),
    /// The number of entries of the next read.
    count: usize,
    /// The newest entry that was read.
    newest: Option<Id>,
}

impl RedisStream {
    /// A source with these options, not connected yet.
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let server = errors.keep(resolve(&options.server));
        errors.keep(check(&options));
        let Some((target, login, dialer)) = server else { return Err(errors.into_error()) };
        errors.finish(())?;
        Ok(Self {
            target,
            login: Arc::new(login),
            dialer: Arc::new(dialer),
            ledger: Arc::default(),
            member: None,
            releasing: None,
            connection: None,
            pending: Some(Id::default()),
            take_over: (Id::default(), None),
            count: FIRST_COUNT,
            newest: None,
            options,
        })
    }

    fn member(&self, cx: &Cx) -> Member {
        let own = format!("{}-{}-{}", host_name(), std::process::id(), cx.component());
        let consumer = self.options.consumer.clone();
        Member {
            target: self.target.clone(),
            login: Arc::clone(&self.login),
            dialer: Arc::clone(&self.dialer),
            stream: self.options.stream.clone(),
            group: self.options.group.clone(),
            // Only consumers with default names are removed, so only their component is passed on.
            component: consumer.is_none().then(|| cx.component().to_owned()),
            consumer: consumer.unwrap_or(own),
            longest: ANSWER_BYTES.max(cx.event_size().saturating_mul(4)),
            sink_acknowledges: cx.sink_acknowledges().then(|| cx.clone()),
        }
    }

    /// Creates the group, unless it exists. `again` if it existed before.
    async fn create(&self, connection: &mut Connection, member: &Member, again: bool) -> Result<(), Error> {
        let start = match (self.options.start, self.newest) {
            (Start::First, _) => "0".to_owned(),
            (Start::Next, Some(newest)) => newest.to_string(),
            (Start::Next, None) => "$".to_owned(),
        };
        if member.create(connection, &start).await? && again {
            let (group, stream) = (&member.group, &member.stream);
            warn!(group, stream, start, "the consumer group was gone, and is created again");
        }
        Ok(())
    }

    /// Reads once. The page may be empty.
    async fn read(&mut self, member: &Member) -> Result<Page, Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                // The entries of a lost reply are pending.
                self.pending = Some(Id::default());
                member.dial().await?
            }
        };
        let page = self.read_from(&mut connection, member).await?;
        // If this future is dropped before, the connection is dropped with it.
        self.connection = Some(connection);
        Ok(page)
    }

    async fn read_from(&mut self, connection: &mut Connection, member: &Member) -> Result<Page, Trouble> {
        if let Some(after) = self.pending {
            let mut page = member.read(connection, Some(after), self.count, WAIT).await?;
            member.count(connection, &mut page, 0).await?;
            self.pending = page.last;
            return Ok(page);
        }
        let (from, since) = self.take_over;
        let idle = *self.options.claim_after;
        if since.is_none_or(|since| since.elapsed() >= idle / 2) {
            let mut page = member.take_over(connection, idle, from, self.count).await?;
            member.count(connection, &mut page, self.ledger.len()).await?;
            let over = page.next == Id::default();
            self.take_over = (page.next, if over { Some(Instant::now()) } else { None });
            return Ok(page);
        }
        let page = member.read(connection, None, self.count, WAIT).await?;
        self.newest = self.newest.max(page.last);
        Ok(page)
    }

    /// Handles a read that failed.
    async fn overcome(&mut self, trouble: Trouble, member: &Member) -> Result<(), Error> {
        match trouble {
            Trouble::NoGroup => {
                let mut connection = member.dial().await?;
                if member.sink_acknowledges.is_some() && !member.has_group(&mut connection).await? {
                    return Err(self.group_is_gone());
                }
                self.create(&mut connection, member, true).await?;
                self.connection = None;
                Ok(())
            }
            Trouble::TooLong if self.count > 1 => {
                self.count = 1;
                Ok(())
            }
            Trouble::TooLong => Err(Error::misconfigured(format!(
                "an entry of `{}` is longer than {} bytes; remove it from the stream, or raise `event_size` in \
                 `[pipeline]`",
                member.stream, member.longest
            ))),
            Trouble::Error(error) => {
                // The reply may have been more than the connection carries within the time limit.
                self.count = (self.count / GROWTH).max(1);
                Err(error)
            }
        }
    }

    /// The error for a lost group. The group is the record of what is done; without it everything would come again.
    fn group_is_gone(&self) -> Error {
        let Options { group, stream, .. } = &self.options;
        Error::fatal(format!(
            "the consumer group `{group}` of `{stream}` is gone, and with it the record of which entries are done \
             (XGROUP DESTROY, FLUSHALL, or a server that keeps nothing across a restart?); look at the data, then \
             start again: the group is created again, and begins where `start` says"
        ))
    }

    /// Sets the number of entries of the next read, so that they fill a batch at the size of these.
    fn adapt(&mut self, page: &Page) {
        if page.entries.is_empty() {
            return;
        }
        let each = page.bytes.len() / page.entries.len();
        let fits = (BATCH_BYTES / each.max(1)).clamp(1, BATCH_EVENTS);
        self.count = fits.min(self.count.saturating_mul(GROWTH));
    }

    /// The batch of a page. `None` if all of its entries are in flight already.
    fn batch(&self, page: &Page, member: &Member, cx: &Cx) -> Option<SourceBatch> {
        if !page.trimmed.is_empty() {
            warn!(
                count = page.trimmed.len(),
                stream = member.stream,
                "entries were trimmed from the stream before they were delivered"
            );
        }
        let mut others: Vec<Id> = page.trimmed.clone();
        others.retain(|id| self.ledger.begin(*id));
        let common = Attributes::default().with("stream", member.stream.as_str());
        let mut builder = Batch::builder().with_attributes(Arc::new(common));
        let buffer = builder.add_buffer(page.bytes.clone());
        let (mut ids, mut rejected) = (Vec::new(), Vec::new());
        for entry in &page.entries {
            if !self.ledger.begin(entry.id) {
                continue;
            }
            match self.push(page, entry, (&mut builder, buffer), cx) {
                Ok(()) => ids.push(entry.id),
                Err(refused) => {
                    others.push(entry.id);
                    rejected.push(refused);
                }
            }
        }
        // AckHandles begin with the entries that became events.
        ids.append(&mut others);
        if ids.is_empty() {
            return None;
        }
        let ledger = Arc::clone(&self.ledger);
        let batch = SourceBatch::from(builder.finish()).with_rejected(rejected);
        Some(match cx.sink_acknowledges() {
            true => batch.with_ack_handles(member.ack_handles(&ids)).on_done(move |_| ledger.released(&ids)),
            false => batch.on_done(move |outcome| ledger.record(ids, &outcome)),
        })
    }

    /// The payload of an entry: the field, or all fields if they are wanted or the field is missing.
    fn payload(&self, page: &Page, entry: &Entry) -> Payload {
        let field = self.options.field.as_bytes();
        let found = match self.options.form {
            Form::Payload => page.fields(entry).find(|(name, _)| page.bytes[name.clone()] == *field),
            Form::Fields => None,
        };
        let Some((_, value)) = found else { return Payload::Made(object(page, entry)) };
        let text = without_mark(&page.bytes[value.clone()]);
        match json::one_line_if_json(text) {
            Cow::Borrowed(_) => Payload::There(value.end - text.len()..value.end),
            Cow::Owned(line) => Payload::Line(line),
        }
    }

    /// Checks an entry before it becomes an event.
    fn check(&self, payload: &Payload, entry: &Entry, cx: &Cx) -> Result<(), String> {
        if matches!((payload, self.options.form), (Payload::Made(_), Form::Payload)) {
            return Err(format!("the entry has no field `{}`", self.options.field));
        }
        let (length, longest) = (payload.len(), cx.event_size());
        if length > longest {
            return Err(format!("the event has {length} bytes, and `event_size` allows {longest}"));
        }
        match self.options.max_deliveries {
            Some(most) if entry.deliveries > most => {
                Err(format!("it was delivered {} times, and `max_deliveries` is {most}", entry.deliveries))
            }
            _ => Ok(()),
        }
    }

    /// Adds the event of an entry.
    fn push(
        &self,
        page: &Page,
        entry: &Entry,
        (builder, buffer): (&mut BatchBuilder, u32),
        cx: &Cx,
    ) -> Result<(), SourceRejection> {
        let payload = self.payload(page, entry);
        if let Err(reason) = self.check(&payload, entry, cx) {
            let reason = format!("{reason} (entry {} of `{}`)", entry.id, self.options.stream);
            let length = payload.len() as u64;
            let mut payload = payload.into_bytes(page);
            payload.truncate(cx.event_size());
            return Err(SourceRejection { payload, length, reason });
        }
        match payload {
            Payload::There(Range { start, end }) => {
                builder.push_span(Span { buffer, offset: start as u32, length: (end - start) as u32 });
            }
            Payload::Made(text) | Payload::Line(text) => builder.push_copy(&text),
        }
        let own = Attributes::default().with("id", entry.id.to_string());
        let deliveries = i64::try_from(entry.deliveries).unwrap_or(i64::MAX);
        builder.attributes(Arc::new(own.with("deliveries", deliveries)));
        Ok(())
    }
}

/// The payload of an event.
enum Payload {
    /// A part of the reply.
    There(Range<usize>),
    /// A part of the reply that is JSON over several lines, as one line.
    Line(Vec<u8>),
    /// All fields of the entry, as a JSON object.
    Made(Vec<u8>),
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::There(range) => range.len(),
            Self::Made(text) | Self::Line(text) => text.len(),
        }
    }

    fn into_bytes(self, page: &Page) -> Bytes {
        match self {
            Self::There(range) => page.bytes.slice(range),
            Self::Made(text) | Self::Line(text) => text.into(),
        }
    }
}

/// All fields of an entry as a JSON object of texts. A field that occurs several times becomes an array of its values.
fn object(page: &Page, entry: &Entry) -> Vec<u8> {
    let mut members: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in page.fields(entry) {
        let (name, value) = (&page.bytes[name], &page.bytes[value]);
        let place = *places.entry(name).or_insert(members.len());
        match members.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => members.push((name, vec![value])),
        }
    }
    let mut json = vec![b'{'];
    for (index, (name, values)) in members.iter().enumerate() {
        json.extend_from_slice(if index == 0 { b"" } else { b"," });
        json::write_text(&mut json, &String::from_utf8_lossy(name));
        json.extend_from_slice(if values.len() == 1 { b":" } else { b":[" });
        for (index, value) in values.iter().enumerate() {
            json.extend_from_slice(if index == 0 { b"" } else { b"," });
            json::write_text(&mut json, &String::from_utf8_lossy(value));
        }
        json.extend_from_slice(if values.len() == 1 { b"" } else { b"]" });
    }
    json.push(b'}');
    json
}

/// The warning that entries may be taken over while they are still being worked on.
///
/// A sign of life that gets no answer is given again after `time_limit`, over a new connection, which may take
/// `connect_time_limit`. Until then the entries look abandoned.
fn claim_after_warning(options: &Options) -> Option<ConfigError> {
    let (claim_after, server) = (options.claim_after, &options.server);
    let silence = server.time_limit.saturating_add(*server.connect_time_limit);
    if *claim_after >= silence {
        return None;
    }
    let message = format!(
        "`claim_after` is {claim_after}, and one lost answer keeps this process silent for up to {} \
         (`time_limit` and `connect_time_limit`): others take over entries that it is still working on, which are \
         then delivered twice",
        Duration(silence)
    );
    let help = "raise `claim_after` above their sum, or lower `time_limit` and `connect_time_limit`";
    Some(ConfigError::at("/claim_after", message).help(help))
}

fn check(options: &Options) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    for (pointer, name) in [("/stream", &options.stream), ("/group", &options.group)] {
        if name.is_empty() {
            errors.push(ConfigError::at(pointer, "this needs a name"));
        }
    }
    if options.consumer.as_ref().is_some_and(String::is_empty) {
        errors
            .push(ConfigError::at("/consumer", "this needs a name").help("leave it out for one of its own"));
    }
    if options.claim_after.as_millis() < 100 {
        let message = "a consumer that is alive cannot show it that often";
        errors.push(ConfigError::at("/claim_after", message).help("the default of \"30s\" suits most"));
    }
    if options.max_deliveries == Some(0) {
        errors.push(ConfigError::at("/max_deliveries", "every entry is delivered at least once"));
    }
    errors.finish(())
}

#[async_trait]
impl Source for RedisStream {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        let member = Arc::new(self.member(cx));
        let mut connection = member.dial().await?;
        self.create(&mut connection, &member, false).await?;
        self.connection = Some(connection);
        self.pending = Some(Id::default());
        if self.releasing.is_none() {
            let release = Release {
                member: Arc::clone(&member),
                ledger: Arc::clone(&self.ledger),
                lag: *self.options.ack_after,
                claim_after: *self.options.claim_after,
            };
            self.releasing = Some(cx.spawn(release.run()));
        }
        self.member = Some(member);
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let member = self.member.clone().ok_or_else(|| Error::fatal("the source was not opened"))?;
        let ledger = Arc::clone(&self.ledger);
        while !cx.is_stopping() {
            let changed = ledger.changed.notified();
            if !ledger.has_room() {
                tokio::select! { () = changed => {}, () = cx.stopping() => {} }
                continue;
            }
            match self.read(&member).await {
                Ok(page) => {
                    self.adapt(&page);
                    if let Some(batch) = self.batch(&page, &member, cx) {
                        return Ok(Some(batch));
                    }
                }
                Err(trouble) => self.overcome(trouble, &member).await?,
            }
        }
        Ok(None)
    }

    fn replay(&self) -> Replay {
        Replay::Redelivery
    }

    fn transaction_domain(&self) -> Result<String, Error> {
        let slot = crate::server::slot::slot(self.options.stream.as_bytes());
        Ok(self.target.domain(self.login.database, slot))
    }

    /// A consumer's pending entries are read again by its name, so two components of one name would share them.
    fn warnings(&self) -> Vec<ConfigError> {
        claim_after_warning(&self.options).into_iter().collect()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        let Ok(server) = self.transaction_domain() else { return Vec::new() };
        let Options { stream, group, consumer, .. } = &self.options;
        let whose = format!("of the group `{group}` of `{stream}` in {server}");
        let claim = match consumer {
            Some(name) => {
                Exclusive::new("/consumer", Resource::Named(format!("the consumer `{name}` {whose}")))
            }
            None => Exclusive::new("/group", Resource::Named(format!("the default consumer name {whose}")))
                .of_same_name("set `consumer`, because its default is made of the component's name"),
        };
        vec![claim]
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.ledger.close();
        if let Some(releasing) = self.releasing.take() {
            releasing.await.map_err(|_| Error::fatal("the task that acknowledges entries ended early"))?;
        }
        let (Some(member), Some(mut connection)) = (self.member.take(), self.connection.take()) else {
            return Ok(());
        };
        // The entries that are left go to the next process of this name, or are taken over.
        if let Ok(false) = member.has_pending(&mut connection).await {
            member.leave(&mut connection).await?;
        }
        connection.close().await;
        Ok(())
    }
}

impl Drop for RedisStream {
    fn drop(&mut self) {
        self.ledger.abandon();
    }
}
