//! The source: reads entries of a stream as batches, as one of a consumer group or by their ids.

pub(crate) mod check;
pub(crate) mod entry;
pub(crate) mod group;
pub(crate) mod ids;
pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod place;
pub(crate) mod release;
pub(crate) mod stream;
pub(crate) mod summary;

use std::sync::Arc;
use std::time::Duration as Time;

use tidegate_sdk::{
    BATCH_BYTES, BATCH_EVENTS, ConfigError, ConfigErrors, Cx, Error, Exclusive, Replay, Source, SourceBatch,
    async_trait,
};

use crate::server::resolve::resolve;

use group::GroupReader;
use ids::IdReader;
use options::Options;
use page::Page;
use stream::Stream;

/// The longest wait for new entries. A pipeline that drains waits no longer.
const WAIT: Time = Time::from_millis(500);

/// The number of entries of the first read, and the most by which it grows from one read to the next.
const FIRST_COUNT: usize = 64;
const GROWTH: usize = 4;

/// The source `redis_stream`.
pub(crate) struct RedisStream(Box<dyn Source>);

impl RedisStream {
    /// A source with these options, not connected yet.
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let server = errors.keep(resolve(&options.server));
        errors.keep(check::options(&options));
        let Some((target, login, dialer)) = server else { return Err(errors.into_error()) };
        errors.finish(())?;
        let stream = Stream {
            target,
            login: Arc::new(login),
            dialer: Arc::new(dialer),
            name: options.stream.clone(),
            longest: 0,
            sink_acknowledges: None,
        };
        Ok(Self(match options.group.clone() {
            Some(group) => Box::new(GroupReader::new(options, stream, group)),
            None => Box::new(IdReader::new(&options, stream)),
        }))
    }
}

/// The number of entries of each read.
struct Count(usize);

impl Count {
    fn new() -> Self {
        Self(FIRST_COUNT)
    }

    fn get(&self) -> usize {
        self.0
    }

    /// Sets the number for the next read, so that its entries fill a batch at the size of these.
    fn adapt(&mut self, page: &Page) {
        if page.entries.is_empty() {
            return;
        }
        let each = page.bytes.len() / page.entries.len();
        let fits = (BATCH_BYTES / each.max(1)).clamp(1, BATCH_EVENTS);
        self.0 = fits.min(self.0.saturating_mul(GROWTH));
    }

    /// Reads fewer entries after a failure: the reply may have been more than the connection carries within the time
    /// limit.
    fn shrink(&mut self) {
        self.0 = (self.0 / GROWTH).max(1);
    }

    /// Reads single entries after a reply over the limit. False if that was a single entry.
    fn single(&mut self) -> bool {
        std::mem::replace(&mut self.0, 1) > 1
    }
}

#[async_trait]
impl Source for RedisStream {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.0.open(cx).await
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        self.0.next(cx).await
    }

    fn replay(&self) -> Replay {
        self.0.replay()
    }

    fn transaction_domain(&self) -> Result<String, Error> {
        self.0.transaction_domain()
    }

    fn covers(&self, partition: &str) -> bool {
        self.0.covers(partition)
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.0.warnings()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.0.exclusive()
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.0.close(cx).await
    }
}
