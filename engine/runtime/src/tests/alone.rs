//! Events that fail alone: each has its own outcome, and the others continue.

use std::sync::{Arc, Mutex};

use tidegate_config::{EngineOptions, RetryOptions};
use tidegate_sdk::{
    AsyncFilter, Attempt, Batch, ConfigError, Cx, Delivery, Error, Output, Plugin, Position, Replay, Sink,
    Source, SourceBatch, async_trait,
};

use super::MAIN;
use super::fakes::{Fakes, NoOptions};
use crate::metrics::status::{End, Health};

/// The events of each write.
type Writes = Arc<Mutex<Vec<Vec<String>>>>;

/// Delivers in order, one event after the other, until one fails. Those of `bad` always fail.
struct InOrder {
    bad: &'static [&'static str],
    writes: Writes,
}

#[async_trait]
impl Sink for InOrder {
    async fn write(&mut self, batch: &Batch, _: &Cx) -> Result<Delivery, Error> {
        let texts = batch.texts();
        let mut delivery = Delivery::complete();
        let bad = texts.iter().position(|text| self.bad.contains(&text.as_str()));
        if let Some(bad) = bad {
            delivery.failed(bad, Error::retry(format!("{} is ill", texts[bad])));
            if bad + 1 < texts.len() {
                delivery.retry(bad + 1..texts.len(), Error::retry("not asked"));
            }
        }
        self.writes.lock().unwrap().push(texts);
        Ok(delivery)
    }
}

fn fast(attempts: u32) -> EngineOptions {
    let tick = tidegate_sdk::Duration::millis(1);
    let retry = RetryOptions { base: tick, cap: tick, attempts: Some(attempts) };
    EngineOptions { retry, ..EngineOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_sink_has_its_own_attempts_and_reason() {
    let mut fakes = Fakes::new();
    let source = fakes.source(10);
    let writes = Writes::default();
    let kept = Arc::clone(&writes);
    let build =
        move |_: NoOptions| Ok::<_, ConfigError>(InOrder { bad: &["3", "7"], writes: Arc::clone(&kept) });
    let sink = fakes.any_filter(source, Plugin::sink("in_order", "", "", build));
    fakes.engine(sink, fast(3));
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let dead_letters = fakes.dead_letters();
    let reasons: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| {
            (dead_letter.payload.as_slice(), dead_letter.reason.as_str(), dead_letter.attempts)
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (b"3".as_slice(), "given up after 3 tries: 3 is ill", 3),
            (b"7".as_slice(), "given up after 3 tries: 7 is ill", 3)
        ]
    );
    assert_eq!(status[0].components[1].counts.events_out, 8);
    let firsts: Vec<String> = writes.lock().unwrap().iter().map(|texts| texts[0].clone()).collect();
    assert_eq!(firsts, ["0", "3", "3", "4", "7", "7", "8"], "each write goes on where the one before ended");
}

/// Fails until the last attempt, in which it rejects the event `3` and lets the others go on.
struct Judging(Arc<Mutex<Vec<Attempt>>>);

#[async_trait]
impl AsyncFilter for Judging {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        self.0.lock().unwrap().push(out.attempt());
        if !out.attempt().last {
            return Err(Error::retry("not yet"));
        }
        let mut builder = batch.derive();
        for (event, payload) in batch.payloads().enumerate() {
            if payload == b"3" {
                out.reject(event, "3 is ill");
            } else {
                builder.keep(event);
            }
        }
        out.emit(builder.finish());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_knows_its_last_attempt() {
    let mut fakes = Fakes::new();
    let source = fakes.source(10);
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&attempts);
    let build = move |_: NoOptions| Ok::<_, ConfigError>(Judging(Arc::clone(&kept)));
    let filter = fakes.any_filter(source, Plugin::async_filter("judging", "", "", build));
    fakes.engine(filter, fast(3));
    let sink = fakes.sink(&[(filter, MAIN)]);
    fakes.run().await;
    assert_eq!(fakes.written(sink).len(), 9);
    assert_eq!(fakes.dead_letters()[0].reason, "3 is ill");
    let attempt = |number, last| Attempt { number, last };
    assert_eq!(*attempts.lock().unwrap(), [attempt(1, false), attempt(2, false), attempt(3, true)]);
}

/// Gives what is new since the place that was stored, one event a run, and complains.
struct News(Option<u64>);

#[async_trait]
impl Source for News {
    fn replay(&self) -> Replay {
        Replay::Redelivery
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        cx.complaint().set("nothing good");
        self.0 = Some(cx.resume("").map_or(Ok(0), Position::read)?);
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(next) = self.0.take() else {
            cx.stopping().await;
            return Ok(None);
        };
        let mut builder = Batch::builder();
        builder.push_copy(next.to_string().as_bytes());
        builder.set_position(Position::new(&(next + 1)));
        Ok(Some(builder.finish().into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_complains_is_unhealthy_until_it_takes_that_back() {
    let mut fakes = Fakes::new();
    let build = |_: NoOptions| Ok::<_, ConfigError>(News(None));
    let source = fakes.any_source(Plugin::source("news", "", "", build));
    let sink = fakes.sink(&[(source, MAIN)]);
    let engine = fakes.start();
    fakes.script(sink).has_written().await;
    assert_eq!(engine.status()[0].components[0].health, Health::Unhealthy("nothing good".into()));
    engine.drain();
    engine.finished().await;
    assert_eq!(engine.status()[0].components[0].health, Health::Ended);
}

/// As [`News`], with an end.
struct OneOf(News);

#[async_trait]
impl Source for OneOf {
    fn replay(&self) -> Replay {
        Replay::Redelivery
    }

    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.0.open(cx).await
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.0.0.is_none() {
            return Ok(None);
        }
        self.0.next(cx).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_only_says_what_is_new_goes_on_where_a_run_ended() {
    let mut fakes = Fakes::new();
    let build = |_: NoOptions| Ok::<_, ConfigError>(OneOf(News(None)));
    let source = fakes.any_source(Plugin::source("news", "", "", build));
    let sink = fakes.sink(&[(source, MAIN)]);
    for _run in 0..3 {
        assert_eq!(fakes.run().await.0, [End::Ended]);
    }
    assert_eq!(fakes.written(sink), ["0", "1", "2"]);
}
