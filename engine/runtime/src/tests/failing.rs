//! Components that fail: a filter is tried again, and what was read before a failure is delivered before the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_config::{EngineOptions, OnReject, RetryOptions};
use tidegate_sdk::{
    AsyncFilter, Batch, Class, ConfigError, Cx, Error, Filter, Output, Plugin, Source, SourceBatch,
    async_trait,
};

use super::fakes::{Fakes, NoOptions};
use super::until;
use super::{MAIN, numbers};
use crate::metrics::status::{End, GraphStatus, Health};

/// Fails some times, with an error of this class, and then lets everything pass.
#[derive(Clone)]
struct Failing {
    left: Arc<AtomicUsize>,
    class: Class,
}

impl Filter for Failing {
    fn process(&mut self, _: &Batch, out: &mut Output) -> Result<(), Error> {
        // What was put out before the failure must not count.
        out.keep_all();
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(Error::new(self.class, "not now")) } else { Ok(()) }
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(self.clone()))
    }
}

/// Lets everything pass, as a filter that waits.
struct Passing;

#[async_trait]
impl AsyncFilter for Passing {
    async fn process(&mut self, _: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        out.keep_all();
        Ok(())
    }
}

fn failing(times: usize, class: Class) -> Plugin {
    let failing = Failing { left: Arc::new(AtomicUsize::new(times)), class };
    Plugin::filter("failing", "", "", move |_: NoOptions| Ok::<_, ConfigError>(failing.clone()))
}

fn fast(attempts: Option<u32>, workers: usize) -> EngineOptions {
    let tick = tidegate_sdk::Duration::millis(1);
    EngineOptions {
        retry: RetryOptions { base: tick, cap: tick, attempts },
        workers,
        ..EngineOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fails_is_tried_again() {
    for class in [Class::Retry, Class::Busy, Class::Ambiguous, Class::Misconfigured] {
        // With a source, alone, with workers, and downstream of a filter that waits.
        for place in ["source", "alone", "workers", "waiting"] {
            let mut fakes = Fakes::new();
            let mut from = fakes.source(50);
            if place == "alone" {
                let fan_out = fakes.filter(from, |_| true);
                fakes.sink(&[(from, MAIN)]);
                from = fan_out;
            }
            if place == "waiting" {
                let build = |_: NoOptions| Ok::<_, ConfigError>(Passing);
                from = fakes.any_filter(from, Plugin::async_filter("passing", "", "", build));
            }
            let filter = fakes.any_filter(from, failing(3, class));
            fakes.engine(filter, fast(None, if place == "workers" { 3 } else { 1 }));
            let all = fakes.filter(filter, |_| true);
            let sink = fakes.sink(&[(all, MAIN)]);
            let (ends, status) = fakes.run().await;
            assert_eq!(ends, [End::Ended], "{class:?}, {place}");
            assert_eq!(fakes.written(sink), numbers(0..50), "{class:?}, {place}");
            let counts = status[0].components[filter].counts;
            assert_eq!(
                (counts.events_in, counts.events_out, counts.rejected),
                (50, 50, 0),
                "each counts once"
            );
            assert_eq!(counts.retried, if class == Class::Busy { 0 } else { 3 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_given_up_rejects_the_batch_and_goes_on() {
    for (class, attempts, reason) in
        [(Class::Retry, 2, "given up after 2 tries: not now"), (Class::Reject, 1, "not now")]
    {
        let mut fakes = Fakes::new();
        let source = fakes.source(30);
        let filter = fakes.any_filter(source, failing(attempts, class));
        fakes.engine(filter, fast(Some(2), 1));
        let sink = fakes.sink(&[(filter, MAIN)]);
        let (ends, _) = fakes.run().await;
        assert_eq!(ends, [End::Ended]);
        assert_eq!(fakes.written(sink), numbers(10..30));
        let dead_letters = fakes.dead_letters();
        assert!(
            dead_letters.len() == 10 && dead_letters.iter().all(|dead_letter| dead_letter.reason == reason),
            "{dead_letters:?}"
        );
    }
}

/// Source of ten batches of one event each, which then fails with the given error. It cannot read again.
struct Ending {
    next: u64,
    how: &'static str,
    runs: Arc<AtomicUsize>,
}

#[async_trait]
impl Source for Ending {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        if self.how == "opening" {
            return Err(Error::fatal("no rights"));
        }
        // What was read by an earlier run is gone.
        if self.runs.fetch_add(1, Ordering::Relaxed) > 0 {
            self.next = 10;
        }
        Ok(())
    }

    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.next == 10 {
            assert!(self.how != "panics" || self.runs.load(Ordering::Relaxed) > 1, "as the test wants");
            return if self.how == "fails" { Err(Error::fatal("exit status 3")) } else { Ok(None) };
        }
        let mut builder = Batch::builder();
        builder.push_copy(self.next.to_string().as_bytes());
        self.next += 1;
        Ok(Some(builder.finish().into()))
    }
}

fn ending(how: &'static str) -> Plugin {
    let runs = Arc::new(AtomicUsize::new(0));
    let build = move |_: NoOptions| Ok::<_, ConfigError>(Ending { next: 0, how, runs: Arc::clone(&runs) });
    Plugin::source("ending", "", "", build)
}

fn is_unhealthy(status: &GraphStatus, component: usize) -> bool {
    matches!(status.components[component].health, Health::Unhealthy(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_source_fails_is_delivered_before_the_end() {
    for workers in [1, 3] {
        let mut fakes = Fakes::new();
        let source = fakes.any_source(ending("fails"));
        let filter = fakes.filter(source, |_| true);
        fakes.engine(filter, fast(None, workers));
        let sink = fakes.sink(&[(filter, MAIN)]);
        fakes.script(sink).stall();
        let engine = fakes.start();
        until(|| is_unhealthy(&engine.status()[0], source)).await;
        assert_eq!(fakes.written(sink), numbers(0..0), "nothing is through when the source fails");
        fakes.script(sink).go_on();
        engine.finished().await;
        assert_eq!(fakes.written(sink), numbers(0..10));
        let end = format!("{:?}", engine.status()[0].state);
        assert!(end.contains("Failed") && end.contains("exit status 3"), "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_source_panics_is_delivered_before_the_restart() {
    let mut fakes = Fakes::new();
    let source = fakes.any_source(ending("panics"));
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).stall();
    let engine = fakes.start();
    until(|| is_unhealthy(&engine.status()[0], source)).await;
    fakes.script(sink).go_on();
    engine.finished().await;
    assert_eq!((fakes.written(sink), engine.status()[0].restarts), (numbers(0..10), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_read_is_delivered_when_a_source_cannot_be_opened() {
    let mut fakes = Fakes::new();
    let good = fakes.source(100);
    let bad = fakes.any_source(ending("opening"));
    let sink = fakes.sink(&[(good, MAIN), (bad, MAIN)]);
    fakes.script(sink).stall();
    let engine = fakes.start();
    until(|| is_unhealthy(&engine.status()[0], bad)).await;
    let read = engine.status()[0].components[good].counts.events_out;
    fakes.script(sink).go_on();
    engine.finished().await;
    let written = fakes.written(sink).len() as u64;
    assert!(written >= read && written <= 100, "{written} of {read} that were read");
    assert!(format!("{:?}", engine.status()[0].state).contains("no rights"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_a_filter_before_it_fails_is_delivered_before_the_end() {
    for workers in [1, 3] {
        let mut fakes = Fakes::new();
        let source = fakes.source(100);
        let fan_out = fakes.filter(source, |_| true);
        fakes.engine(fan_out, fast(None, workers));
        // Rejects 13, which is of the second batch.
        let route = fakes.route(fan_out);
        let options = EngineOptions { on_reject: Some(OnReject::Stop), ..EngineOptions::default() };
        fakes.engine(route, options);
        let sink = fakes.sink(&[(route, MAIN)]);
        fakes.script(sink).stall();
        let engine = fakes.start();
        until(|| engine.status()[0].components[route].counts.rejected == 1).await;
        fakes.script(sink).go_on();
        engine.finished().await;
        let written = fakes.written(sink);
        assert!(written.starts_with(&numbers(1..10)), "{workers}: {written:?}");
        assert!(written.iter().all(|number| number.parse::<u64>().unwrap() < 20), "{workers}: {written:?}");
        assert!(format!("{:?}", engine.status()[0].state).contains("unlucky"));
    }
}

/// Keeps each batch, and emits it in the next call.
#[derive(Default)]
struct Late(Option<Batch>);

impl Filter for Late {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        if let Some(earlier) = self.0.replace(batch.clone()) {
            out.emit(earlier);
        }
        Ok(())
    }
}

#[async_trait]
impl AsyncFilter for Late {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        Filter::process(self, batch, out)
    }
}

/// Its events would be acknowledged with the wrong input, and be lost in a crash.
#[tokio::test(flavor = "multi_thread")]
async fn filter_that_emits_a_batch_of_an_earlier_call_fails() {
    for waits in [false, true] {
        let mut fakes = Fakes::new();
        let source = fakes.source(50);
        let plugin = if waits {
            Plugin::async_filter("late", "", "", |_: NoOptions| Ok::<_, ConfigError>(Late::default()))
        } else {
            Plugin::filter("late", "", "", |_: NoOptions| Ok::<_, ConfigError>(Late::default()))
        };
        let late = fakes.add(plugin, &[(source, MAIN)], &[]);
        let sink = fakes.sink(&[(late, MAIN)]);
        let (ends, _) = fakes.run().await;
        let End::Failed(reason) = &ends[0] else { panic!("{ends:?}") };
        assert!(reason.contains("a batch that was not made of its input"), "{reason}");
        assert!(fakes.written(sink).is_empty());
    }
}
