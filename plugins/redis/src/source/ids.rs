//! A source that reads a stream by the ids of its entries. The id of the last one is its position.
//!
//! Events of a partition are numbered in the order of reading, and a transactional sink knows by the number what it has
//! done. So an entry that is deleted between two reads of the same entries would give its number to the next one. A batch
//! without events, sent ahead of each page, says how many entries follow its position and which is the last. A run that
//! resumes there and finds that some were deleted tells the engine that the input was replaced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_sdk::{Batch, Cx, Error, Position, Replay, Source, SourceBatch, async_trait};
use tracing::warn;

use crate::server::Servers;
use crate::server::connection::Connection;
use crate::source::entry::Entries;
use crate::source::options::{Options, Start};
use crate::source::page::{Page, Refusal};
use crate::source::place::{Ahead, Difference, Place};
use crate::source::stream::{Stream, Trouble};
use crate::source::summary::Summary;
use crate::source::{Count, WAIT};

/// The interval between two looks at the whole stream.
const LOOK: Duration = Duration::from_secs(2);

/// A reader of a stream, by the ids of its entries.
pub(crate) struct IdReader {
    start: Start,
    stream: Stream,
    entries: Entries,
    servers: Servers,
    connection: Option<Connection>,
    /// The time of the last look at the whole stream.
    looked: Option<Instant>,
    place: Place,
    /// True once `place` is set.
    is_placed: bool,
    /// True if the next entries are not those that were read after this position before.
    is_replaced: bool,
    /// True if an entry after `place` may have been deleted.
    may_lack_some: bool,
    /// Batches that were read and not returned yet.
    ready: VecDeque<SourceBatch>,
    count: Count,
}

impl IdReader {
    /// A reader with these options, not connected yet.
    pub(crate) fn new(options: &Options, stream: Stream) -> Self {
        Self {
            start: options.start,
            entries: Entries::new(options),
            servers: Servers::new(&stream.target, &stream.login, &stream.dialer),
            stream,
            connection: None,
            looked: None,
            place: Place::default(),
            is_placed: false,
            is_replaced: false,
            may_lack_some: true,
            ready: VecDeque::new(),
            count: Count::new(),
        }
    }

    /// Connects, unless there is a connection, and looks at the whole stream from time to time.
    async fn connected(&mut self) -> Result<Connection, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.looked = None;
                self.servers.dial(self.stream.name.as_bytes()).await.inspect_err(|_| self.servers.forget())?
            }
        };
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            // A replica answers reads too, and lacks what its master has.
            self.servers.confirm(&mut connection).await?;
            self.look(&mut connection).await?;
            self.looked = Some(Instant::now());
        }
        Ok(connection)
    }

    /// Compares the stream with the position.
    async fn look(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let summary = match self.stream.summary(connection).await {
            Ok(summary) => summary,
            // Without the right to look, what is missing is not noticed.
            Err(refused) if is_forbidden(&refused) => return Ok(()),
            Err(refused) => return Err(refused),
        };
        let difference = self.place.compare(summary.as_ref());
        self.may_lack_some = self.place.may_lack_some(summary.as_ref());
        self.report(difference, summary.as_ref());
        self.is_replaced |= difference != Difference::None;
        self.place.reconcile(difference, summary.as_ref());
        Ok(())
    }

    fn report(&self, difference: Difference, summary: Option<&Summary>) {
        let (stream, position) = (&self.stream.name, self.place.id);
        let first = summary.and_then(|summary| summary.first).map(|first| first.0.to_string());
        let first = first.unwrap_or_default();
        match difference {
            Difference::None => {}
            Difference::Removed(Some(count)) => {
                warn!(stream, %position, first, "{count} entries were trimmed or deleted before they were read");
            }
            Difference::Removed(None) => warn!(
                stream, %position, first,
                "the position is older than the first entry: entries may have been trimmed before they were read"
            ),
            Difference::Gone => {
                warn!(stream, %position, "the stream is gone; when it is there again, it is read from its first entry");
            }
            Difference::Replaced => warn!(
                stream, %position, first,
                "the stream was created again, and is read from its first entry: its newest id is before the position"
            ),
            Difference::RolledBack => warn!(
                stream, %position,
                "the server has lost the newest entries that were read; reading continues with the next new one"
            ),
            Difference::Unsure => warn!(
                stream, %position,
                "the stream was created again, or its server has lost entries; reading continues after the position"
            ),
        }
    }

    /// Finds the first position.
    async fn find_place(&mut self, connection: &mut Connection, cx: &Cx) -> Result<(), Error> {
        if let Some(position) = cx.resume(&self.stream.name) {
            self.place = position.read::<Place>()?;
            self.is_placed = true;
            return Ok(());
        }
        self.place = match self.start {
            Start::After(id) => Place { id, ..Place::default() },
            Start::Next => {
                let summary = self.stream.summary(connection).await;
                let summary =
                    summary.map_err(|error| error.context("`start = \"$\"` asks for the newest id"))?;
                let Summary { newest, first, added, .. } = summary.unwrap_or_default();
                Place { id: newest, added, first, next: None }
            }
            Start::First => match self.stream.summary(connection).await {
                Ok(Some(summary)) => {
                    Place { added: summary.removed(), first: summary.first, ..Place::default() }
                }
                Ok(None) => Place { added: Some(0), ..Place::default() },
                Err(refused) if is_forbidden(&refused) => Place::default(),
                Err(refused) => return Err(refused),
            },
        };
        if self.start != Start::First {
            // From now on, a run that resumes begins there.
            let mark = self.mark(Position::new(&self.place));
            self.ready.push_back(mark);
        }
        self.is_placed = true;
        Ok(())
    }

    /// Reads once. The page may be empty.
    async fn read(&mut self) -> Result<Page, Trouble> {
        let mut connection = self.connected().await?;
        // The entries of the last run come in one page, as they did then.
        let count = self.place.next.map_or(self.count.get(), |next| next.count).to_string();
        let (wait, id) = (WAIT.as_millis().to_string(), self.place.id.to_string());
        let words = ["XREAD", "COUNT", &count, "BLOCK", &wait, "STREAMS", &self.stream.name, &id];
        let answer = self.stream.ask(&mut connection, &words, WAIT).await?;
        match Page::read(&answer) {
            Ok(page) => {
                // If this future is dropped before, the connection is dropped with it.
                self.connection = Some(connection);
                Ok(page)
            }
            Err(refusal) => {
                if matches!(&refusal, Refusal::Error(text) if text.starts_with("MOVED")) {
                    self.servers.forget();
                }
                Err(self.stream.trouble(refusal))
            }
        }
    }

    /// Handles a read that failed.
    fn overcome(&mut self, trouble: Trouble) -> Result<(), Error> {
        match trouble {
            // The wait ended because the slot of the stream moves, or the server's role changed.
            Trouble::NoGroup => {
                self.servers.forget();
                Ok(())
            }
            Trouble::TooLong => {
                self.forget_expected();
                if self.count.single() { Ok(()) } else { Err(self.stream.too_long()) }
            }
            Trouble::Error(error) => {
                self.count.shrink();
                Err(error)
            }
        }
    }

    /// Gives up the entries that were expected after the position: they are not there any more.
    fn forget_expected(&mut self) {
        self.is_replaced |= self.place.next.take().is_some();
    }

    /// Makes the batches of a page: a mark, and the events.
    fn take(&mut self, page: &Page, cx: &Cx) {
        let Some(ahead) = Ahead::of(page) else { return self.forget_expected() };
        if self.place.next.is_some_and(|expected| expected != ahead) {
            // Without the newest of them, the others keep their numbers.
            self.is_replaced |= self.may_lack_some;
        }
        self.place.next = Some(ahead);
        let mark = self.mark(Position::new(&self.place));
        self.ready.push_back(mark);
        self.place = self.place.after(page);
        let (mut builder, buffer) = self.entries.builder(page);
        let mut rejected = Vec::new();
        for entry in &page.entries {
            let pushed = self.entries.push(page, entry, (&mut builder, buffer), cx.event_size());
            rejected.extend(pushed.err());
        }
        builder.set_partition(self.partition());
        builder.set_position(Position::new(&self.place));
        self.ready.push_back(SourceBatch::from(builder.finish()).with_rejected(rejected));
    }

    /// A batch without events, at this position.
    fn mark(&mut self, position: Position) -> SourceBatch {
        if std::mem::take(&mut self.is_replaced) {
            return SourceBatch::replaced_input(self.partition(), position);
        }
        let mut builder = Batch::builder();
        builder.set_partition(self.partition());
        builder.set_position(position);
        builder.finish().into()
    }

    fn partition(&self) -> Arc<str> {
        self.stream.name.as_str().into()
    }
}

/// True if the user lacks the right to a command.
fn is_forbidden(error: &Error) -> bool {
    error.message().contains("NOPERM")
}

#[async_trait]
impl Source for IdReader {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.stream = self.stream.of(cx);
        let mut connection = self.servers.dial(self.stream.name.as_bytes()).await?;
        if !self.is_placed {
            self.find_place(&mut connection, cx).await?;
        }
        self.connection = Some(connection);
        self.looked = None;
        self.connection = Some(self.connected().await?);
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if cx.is_stopping() {
                return Ok(None);
            }
            match self.read().await {
                Ok(page) => {
                    self.count.adapt(&page);
                    self.take(&page, cx);
                }
                Err(trouble) => self.overcome(trouble)?,
            }
        }
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }

    fn covers(&self, partition: &str) -> bool {
        partition == self.stream.name
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        Ok(())
    }
}
