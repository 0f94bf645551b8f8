use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_sdk::{AckHandles, Batch, Class, Cx, Delivery, Error, Outcome, Sink, Source, SourceBatch};
use tidegate_servers::redis::Redis;

/// The time limit for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process of the group: its source, and the sink that acknowledges for it.
pub(crate) struct Worker {
    pub(crate) source: Box<dyn Source>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) cx: Cx,
}

/// A batch on its way to the sink.
pub(crate) struct Work {
    pub(crate) batch: Batch,
    pub(crate) ack_handles: AckHandles,
    done: Box<dyn FnOnce(Outcome) + Send>,
}

pub(crate) fn source(options: &Value) -> Box<dyn Source> {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    tidegate_testkit::build_source(&plugin, options)
}

pub(crate) fn sink(options: &Value) -> Box<dyn Sink> {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis");
    tidegate_testkit::build_sink(&plugin, options)
}

/// Options that append to the list `out`.
pub(crate) fn list(redis: &Redis) -> Value {
    json!({"url": redis.url(), "command": "rpush", "key": "out", "time_limit": "2s"})
}

impl Worker {
    /// The consumer of this name, writing by these options; what others leave is its own after 30 s.
    pub(crate) async fn new(redis: &Redis, name: &str, options: &Value) -> Self {
        let mut worker = Self::closed(redis, name, options);
        worker.source.open(&worker.cx).await.unwrap();
        worker.sink.open(&worker.cx).await.unwrap();
        worker
    }

    /// The same, not open.
    pub(crate) fn closed(redis: &Redis, name: &str, options: &Value) -> Self {
        let stream = json!({
            "url": redis.url(), "stream": "in", "group": "g", "consumer": name, "claim_after": "30s",
        });
        let (cx, _stopping) = tidegate_testkit::context();
        Self { source: source(&stream), sink: sink(options), cx: cx.with_acknowledging_sink() }
    }

    /// The next entries, after errors that pass.
    pub(crate) async fn read(&mut self) -> Work {
        let since = Instant::now();
        loop {
            match tokio::time::timeout(PATIENCE, self.source.next(&self.cx)).await.unwrap() {
                Ok(Some(read)) => return Work::of(read),
                Ok(None) => panic!("the source has ended"),
                Err(error) if since.elapsed() > PATIENCE || error.class() == Class::Fatal => {
                    panic!("{error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// The result of the sink, after temporary errors.
    pub(crate) async fn ack_and_write(&mut self, work: &Work) -> Delivery {
        let since = Instant::now();
        loop {
            match self.try_ack_and_write(work).await {
                Ok(delivery) => return delivery,
                Err(error) if since.elapsed() > PATIENCE || error.class() == Class::Fatal => {
                    panic!("{error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Acknowledges and writes a batch whose entries are all of this consumer.
    pub(crate) async fn finish(&mut self, work: &Work) {
        let delivery = self.ack_and_write(work).await;
        assert!(delivery.rejected().is_empty() && delivery.events_already_done().is_empty(), "{delivery:?}");
    }

    pub(crate) async fn try_ack_and_write(&mut self, work: &Work) -> Result<Delivery, Error> {
        self.sink.acknowledging()?.ack_and_write(&work.batch, &work.ack_handles, &self.cx).await
    }

    /// Reads, acknowledges and writes until the list `out` holds this many.
    pub(crate) async fn until(&mut self, redis: &Redis, count: usize) {
        while out(redis).len() < count {
            let work = self.read().await;
            self.finish(&work).await;
            work.over();
        }
    }
}

impl Work {
    fn of(read: SourceBatch) -> Self {
        Self { batch: read.batch, ack_handles: read.ack_handles.unwrap(), done: read.done.unwrap() }
    }

    /// Reports the batch to the source as delivered.
    pub(crate) fn over(self) {
        (self.done)(Outcome::Delivered);
    }
}

/// Adds entries with the numbers `from..to` to the stream.
pub(crate) fn add(redis: &Redis, from: usize, to: usize) {
    for number in from..to {
        redis.query(["XADD", "in", "*", "event", &number.to_string()]);
    }
}

/// The number of pending entries.
pub(crate) fn pending(redis: &Redis) -> i64 {
    redis.query(["XPENDING", "in", "g"]).list()[0].integer().unwrap()
}

/// The contents of the list `out`.
pub(crate) fn out(redis: &Redis) -> Vec<usize> {
    redis.query(["LRANGE", "out", "0", "-1"]).texts().into_iter().map(|text| text.parse().unwrap()).collect()
}

/// Panics unless the list `out` holds `0..count`, each once.
#[track_caller]
pub(crate) fn expect_each_once(redis: &Redis, count: usize) {
    let mut found = out(redis);
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..count), "{found:?}");
}
