use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_sdk::{Batch, Claim, Class, Cx, Delivery, Error, Lane, Position, Record, Sink};
use tidegate_servers::redis::Redis;

/// The time limit for each step.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sink, and all that the engine would do with it for a source whose event number `n` is the text of `n`.
pub(crate) struct Driver {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) cx: Cx,
    pub(crate) lane: Lane,
    /// The number of events that were committed again after a rollback.
    pub(crate) replayed: u64,
    /// The number of claims.
    pub(crate) claims: u64,
    record: Record,
}

/// A sink with these options.
pub(crate) fn sink(options: &Value) -> Box<dyn Sink> {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis");
    tidegate_testkit::build_sink(&plugin, options)
}

/// Options that append to the list `list`.
pub(crate) fn list(url: &str) -> Value {
    json!({"url": url, "command": "rpush", "key": "list", "time_limit": "3s"})
}

pub(crate) fn claim() -> Claim {
    Claim { pipeline: "pipe".into(), sink: "out".into(), reset: false }
}

/// The events with the numbers `from..to`.
pub(crate) fn events(from: u64, to: u64) -> Batch {
    numbered(from, (from..to).map(|number| number.to_string()))
}

/// These payloads as the events from number `first` on.
pub(crate) fn numbered<P: AsRef<[u8]>>(first: u64, payloads: impl IntoIterator<Item = P>) -> Batch {
    tidegate_testkit::batch(payloads).with_origin(|origin| origin.first = first)
}

/// The record after event number `done - 1`.
pub(crate) fn record(done: u64) -> Record {
    Record { position: Some(Position::new(&done)), base: done, done }
}

impl Driver {
    /// A sink that is open and claimed.
    pub(crate) async fn new(options: &Value) -> Result<Self, Error> {
        let (cx, _stopping) = tidegate_testkit::context();
        let lane = Lane { source: Arc::from("lines"), partition: Arc::from("a file") };
        let mut driver =
            Self { sink: sink(options), cx, lane, replayed: 0, claims: 0, record: Record::default() };
        driver.sink.open(&driver.cx).await?;
        driver.claim().await?;
        Ok(driver)
    }

    /// Claims, until the server takes it.
    pub(crate) async fn claim(&mut self) -> Result<BTreeMap<Lane, Record>, Error> {
        let since = Instant::now();
        loop {
            match self.sink.transactional()?.claim(&claim(), &self.cx).await {
                Ok(records) => {
                    let before = self.record.done;
                    self.record = records.get(&self.lane).cloned().unwrap_or_default();
                    self.claims += 1;
                    self.replayed += before.saturating_sub(self.record.done);
                    return Ok(records);
                }
                Err(error) if again(&error) && since.elapsed() < PATIENCE => pause().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Commits this batch, with as many attempts as needed.
    pub(crate) async fn commit(&mut self, batch: &Batch, record: &Record) -> Result<Delivery, Error> {
        let since = Instant::now();
        loop {
            match self.sink.transactional()?.commit(batch, &self.lane, record, &self.cx).await {
                Err(error) if again(&error) && since.elapsed() < PATIENCE => pause().await,
                other => return other,
            }
        }
    }

    /// Commits the events up to `end` in batches of `size`, from wherever the record says. After each batch
    /// `then` receives the number of delivered events.
    pub(crate) async fn run(&mut self, end: u64, size: u64, mut then: impl FnMut(u64)) -> Result<(), Error> {
        while self.record.done < end {
            let start: u64 = self.record.position.as_ref().map_or(0, |position| position.read().unwrap());
            assert_eq!(start, self.record.base, "a source resumes at the position of its record");
            let read = events(start, (start + size).min(end));
            let done = self.record.done;
            let kept = read.select((0..read.len()).filter(|event| start + *event as u64 >= done));
            let next = record((start + size).min(end));
            match self.commit(&kept, &next).await {
                Ok(delivery) => {
                    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
                    self.record = next;
                    then(self.record.done);
                }
                Err(error) if error.class() == Class::Replay => drop(self.claim().await?),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn again(error: &Error) -> bool {
    matches!(error.class(), Class::Retry | Class::Busy | Class::Ambiguous)
}

/// The pause of the engine between two tries.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

/// Panics unless `list` holds each of the events once, and in order.
#[track_caller]
pub(crate) fn expect_all(redis: &Redis, events: u64) {
    let all = redis.query(["LRANGE", "list", "0", "-1"]);
    let found: Vec<u64> = all.texts().into_iter().map(|text| text.parse().unwrap()).collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let (lost, twice) = (events as usize - sorted.len(), found.len() - sorted.len());
    assert_eq!((lost, twice), (0, 0), "lost and duplicated");
    assert!(found.iter().copied().eq(0..events), "they are in order");
}
