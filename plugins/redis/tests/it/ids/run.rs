use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_sdk::{Cx, Error, Position, Source, SourceBatch};
use tidegate_servers::redis::Redis;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// An open source, and what it has said so far.
pub(crate) struct Run {
    pub(crate) source: Box<dyn Source>,
    pub(crate) cx: Cx,
    stopping: CancellationToken,
    /// The position after the last batch.
    pub(crate) position: Option<Position>,
    /// The position ahead of the last events.
    pub(crate) before: Option<Position>,
    /// The number of times that it said that its input was replaced.
    pub(crate) replaced: usize,
}

/// Options for the stream `s`.
pub(crate) fn options(redis: &Redis) -> Value {
    json!({"url": redis.url(), "stream": "s"})
}

impl Run {
    pub(crate) async fn new(options: &Value, resume: Option<Position>) -> Self {
        Self::open(options, resume).await.unwrap()
    }

    pub(crate) async fn open(options: &Value, resume: Option<Position>) -> Result<Self, Error> {
        let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
        let (cx, stopping) = tidegate_testkit::context();
        let partition = options["stream"].as_str().unwrap().to_owned();
        let positions: BTreeMap<_, _> = resume.into_iter().map(|at| (partition.clone(), at)).collect();
        let cx = cx.with_resume(positions);
        let mut source = tidegate_testkit::build_source(&plugin, options);
        source.open(&cx).await?;
        Ok(Self { source, cx, stopping, position: None, before: None, replaced: 0 })
    }

    /// The next batch with events or rejections, after errors that pass.
    pub(crate) async fn next(&mut self) -> SourceBatch {
        let since = Instant::now();
        loop {
            let batch = match tokio::time::timeout(PATIENCE, self.source.next(&self.cx)).await.unwrap() {
                Ok(batch) => batch.expect("the source has not ended"),
                Err(error) if since.elapsed() > PATIENCE => panic!("{error}"),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            };
            self.replaced += usize::from(batch.is_replaced_input());
            self.before = self.position.replace(batch.batch.runs()[0].origin.position.clone().unwrap());
            if !batch.batch.is_empty() || !batch.rejected.is_empty() {
                return batch;
            }
        }
    }

    /// The payloads of the next events, at least `count` of them.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.extend(self.next().await.batch.texts());
        }
        texts
    }

    /// Drains and closes. What was read comes before the end.
    pub(crate) async fn close(mut self) {
        self.stopping.cancel();
        while self.source.next(&self.cx).await.unwrap().is_some() {}
        self.source.close(&self.cx).await.unwrap();
        self.cx.tasks().joined().await;
    }
}

/// Adds entries with the numbers `from..to`, with ids that are these numbers plus one.
pub(crate) fn add(redis: &Redis, from: usize, to: usize) {
    for number in from..to {
        redis.query(["XADD", "s", &format!("{}-0", number + 1), "event", &number.to_string()]);
    }
}

/// The texts of these numbers.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
