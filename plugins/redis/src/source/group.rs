//! A source that is one of a consumer group. It acknowledges each entry that was delivered.

use std::sync::Arc;
use std::time::Instant;

use tidegate_sdk::{ConfigError, Cx, Error, Exclusive, Replay, Resource, Source, SourceBatch, async_trait};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::server::connection::Connection;
use crate::server::host_name;
use crate::source::entry::Entries;
use crate::source::ledger::Ledger;
use crate::source::member::Member;
use crate::source::options::{Options, Start};
use crate::source::page::{Id, Page};
use crate::source::release::Release;
use crate::source::stream::{Stream, Trouble};
use crate::source::{Count, WAIT, check};

/// A reader of a stream, as one of a group.
pub(crate) struct GroupReader {
    options: Options,
    group: String,
    stream: Stream,
    entries: Entries,
    ledger: Arc<Ledger>,
    member: Option<Arc<Member>>,
    releasing: Option<JoinHandle<()>>,
    connection: Option<Connection>,
    /// The last of this consumer's pending entries that was read. `None` once all of them are read.
    pending: Option<Id>,
    /// The id at which the take-over continues, and the end of its last round.
    take_over: (Id, Option<Instant>),
    count: Count,
    /// The newest entry that was read.
    newest: Option<Id>,
}

impl GroupReader {
    /// A reader with these options, not connected yet.
    pub(crate) fn new(options: Options, stream: Stream, group: String) -> Self {
        Self {
            entries: Entries::new(&options),
            group,
            stream,
            ledger: Arc::default(),
            member: None,
            releasing: None,
            connection: None,
            pending: Some(Id::default()),
            take_over: (Id::default(), None),
            count: Count::new(),
            newest: None,
            options,
        }
    }

    fn member(&self, cx: &Cx) -> Member {
        let own = format!("{}-{}-{}", host_name(), std::process::id(), cx.component());
        let consumer = self.options.consumer.clone();
        Member {
            stream: self.stream.of(cx),
            group: self.group.clone(),
            // Only consumers with default names are removed, so only their component is passed on.
            component: consumer.is_none().then(|| cx.component().to_owned()),
            consumer: consumer.unwrap_or(own),
        }
    }

    /// Creates the group, unless it exists. `again` if it existed before.
    async fn create(&self, connection: &mut Connection, member: &Member, again: bool) -> Result<(), Error> {
        let start = match (self.options.start, self.newest) {
            (Start::Next, Some(newest)) => newest.to_string(),
            (start, _) => start.to_string(),
        };
        if member.create(connection, &start).await? && again {
            let (group, stream) = (&member.group, &member.stream.name);
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
            let mut page = member.read(connection, Some(after), self.count.get(), WAIT).await?;
            member.count(connection, &mut page, 0).await?;
            self.pending = page.last;
            return Ok(page);
        }
        let (from, since) = self.take_over;
        let idle = *self.options.claim_after();
        if since.is_none_or(|since| since.elapsed() >= idle / 2) {
            let mut page = member.take_over(connection, idle, from, self.count.get()).await?;
            member.count(connection, &mut page, self.ledger.len()).await?;
            let over = page.next == Id::default();
            self.take_over = (page.next, if over { Some(Instant::now()) } else { None });
            return Ok(page);
        }
        let page = member.read(connection, None, self.count.get(), WAIT).await?;
        self.newest = self.newest.max(page.last);
        Ok(page)
    }

    /// Handles a read that failed.
    async fn overcome(&mut self, trouble: Trouble, member: &Member) -> Result<(), Error> {
        match trouble {
            Trouble::NoGroup => {
                let mut connection = member.dial().await?;
                if member.stream.sink_acknowledges.is_some() && !member.has_group(&mut connection).await? {
                    return Err(self.group_is_gone());
                }
                self.create(&mut connection, member, true).await?;
                self.connection = None;
                Ok(())
            }
            Trouble::TooLong if self.count.single() => Ok(()),
            Trouble::TooLong => Err(member.stream.too_long()),
            Trouble::Error(error) => {
                self.count.shrink();
                Err(error)
            }
        }
    }

    /// The error for a lost group. The group is the record of what is done; without it everything would come again.
    fn group_is_gone(&self) -> Error {
        let (group, stream) = (&self.group, &self.stream.name);
        Error::fatal(format!(
            "the consumer group `{group}` of `{stream}` is gone, and with it the record of which entries are done \
             (XGROUP DESTROY, FLUSHALL, or a server that keeps nothing across a restart?); look at the data, then \
             start again: the group is created again, and begins where `start` says"
        ))
    }

    /// The batch of a page. `None` if all of its entries are in flight already.
    fn batch(&self, page: &Page, member: &Member, cx: &Cx) -> Option<SourceBatch> {
        if !page.trimmed.is_empty() {
            warn!(
                count = page.trimmed.len(),
                stream = member.stream.name,
                "entries were trimmed from the stream before they were delivered"
            );
        }
        let mut others: Vec<Id> = page.trimmed.clone();
        others.retain(|id| self.ledger.begin(*id));
        let (mut builder, buffer) = self.entries.builder(page);
        let (mut ids, mut rejected) = (Vec::new(), Vec::new());
        for entry in &page.entries {
            if !self.ledger.begin(entry.id) {
                continue;
            }
            match self.entries.push(page, entry, (&mut builder, buffer), cx.event_size()) {
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
        Some(if cx.sink_acknowledges() {
            batch.with_ack_handles(member.ack_handles(&ids)).on_done(move |_| ledger.released(&ids))
        } else {
            batch.on_done(move |outcome| ledger.record(ids, &outcome))
        })
    }
}

#[async_trait]
impl Source for GroupReader {
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
                lag: *self.options.ack_after(),
                claim_after: *self.options.claim_after(),
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
                    self.count.adapt(&page);
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
        let slot = crate::server::slot::slot(self.stream.name.as_bytes());
        Ok(self.stream.target.domain(self.stream.login.database, slot))
    }

    /// A consumer's pending entries are read again by its name, so two components of one name would share them.
    fn warnings(&self) -> Vec<ConfigError> {
        check::claim_after_warning(&self.options).into_iter().collect()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        let Ok(server) = self.transaction_domain() else { return Vec::new() };
        let (stream, group, consumer) = (&self.stream.name, &self.group, &self.options.consumer);
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

impl Drop for GroupReader {
    fn drop(&mut self) {
        self.ledger.abandon();
    }
}
