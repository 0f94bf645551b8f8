use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_sdk::{Cx, Error, Outcome, Source, SourceBatch};
use tidegate_servers::redis::Redis;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// A source that is open.
pub(crate) struct Reader {
    pub(crate) source: Box<dyn Source>,
    pub(crate) cx: Cx,
    pub(crate) stopping: CancellationToken,
}

/// Options for the stream `s` and the group `g`, as the consumer of this name.
pub(crate) fn options(redis: &Redis, consumer: &str) -> Value {
    json!({"url": redis.url(), "stream": "s", "group": "g", "consumer": consumer, "ack_after": "0s"})
}

impl Reader {
    pub(crate) async fn new(options: &Value) -> Self {
        let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
        let (cx, stopping) = tidegate_testkit::context();
        let mut source = tidegate_testkit::build_source(&plugin, options);
        source.open(&cx).await.unwrap();
        Self { source, cx, stopping }
    }

    /// The next batch, after errors that pass.
    pub(crate) async fn next(&mut self) -> SourceBatch {
        let since = Instant::now();
        loop {
            match tokio::time::timeout(PATIENCE, self.source.next(&self.cx)).await.unwrap() {
                Ok(Some(batch)) => return batch,
                Ok(None) => panic!("the source has ended"),
                Err(error) if since.elapsed() > PATIENCE => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// The payloads of the next `count` events, which are delivered.
    pub(crate) async fn deliver(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let batch = self.next().await;
            texts.extend(finish(batch, Outcome::Delivered));
        }
        texts
    }

    /// Drains and closes.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        self.stopping.cancel();
        assert!(self.source.next(&self.cx).await.unwrap().is_none());
        let closed = self.source.close(&self.cx).await;
        self.cx.tasks().joined().await;
        closed
    }
}

/// Ends a batch; its payloads.
pub(crate) fn finish(batch: SourceBatch, outcome: Outcome) -> Vec<String> {
    let texts = batch.batch.texts();
    batch.done.unwrap()(outcome);
    texts
}

/// Adds entries with the numbers `from..to` to the stream.
pub(crate) fn add(redis: &Redis, from: usize, to: usize) {
    for number in from..to {
        redis.query(["XADD", "s", "*", "event", &number.to_string()]);
    }
}

/// The number of pending entries.
pub(crate) fn pending(redis: &Redis) -> i64 {
    redis.query(["XPENDING", "s", "g"]).list()[0].integer().unwrap()
}

/// Names of the consumers.
pub(crate) fn consumers(redis: &Redis) -> Vec<String> {
    let all = redis.query(["XINFO", "CONSUMERS", "s", "g"]);
    all.list().iter().map(|one| one.list()[1].text().to_owned()).collect()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
