//! Graphs with `delivery = "effectively_once"`: what sinks commit survives the graph; nothing comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_config::Delivery;
use tidegate_sdk::{
    Batch, ConfigError, Cx, Error, Plugin, Position, Replay, Source, SourceBatch, async_trait,
};

use super::fakes::{Fakes, NoOptions};
use super::{MAIN, numbers};
use crate::metrics::status::End;

/// A source of `count` events, a filter that keeps some, and a transactional sink, whose number is returned.
fn lane(count: u64, keep: fn(u64) -> bool) -> (Fakes, usize) {
    let mut fakes = Fakes::new();
    fakes.delivery = Delivery::EffectivelyOnce;
    let source = fakes.source(count);
    let filter = fakes.filter(source, keep);
    let sink = fakes.sink(&[(filter, MAIN)]);
    (fakes, sink)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_committed_once_and_a_second_run_has_nothing_to_do() {
    let (fakes, sink) = lane(1000, |_| true);
    for _ in 0..2 {
        let (ends, _) = fakes.run().await;
        assert_eq!(ends, [End::Ended]);
        assert_eq!(fakes.ledger(sink).written, numbers(0..1000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_right_after_a_commit_repeats_nothing() {
    for at in [5, 50, 333, 990] {
        let (mut fakes, sink) = lane(1000, |_| true);
        fakes.fast_retry(sink, None);
        fakes.script(sink).panic_at.store(at, Ordering::Relaxed);
        let (ends, status) = fakes.run().await;
        assert_eq!((ends, status[0].restarts), (vec![End::Ended], 1));
        assert_eq!(fakes.ledger(sink).written, numbers(0..1000), "panic at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_repeat_nothing() {
    let (mut fakes, sink) = lane(1000, |_| true);
    fakes.fast_retry(sink, None);
    fakes.script(sink).lose_answers.store(20, Ordering::Relaxed);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.ledger(sink).written, numbers(0..1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_data_gets_it_again() {
    let (fakes, sink) = lane(1000, |number| number % 3 != 0);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let whole = fakes.ledger(sink).written;
    // The server comes back as it was some commits ago.
    let script = fakes.script(sink);
    script.ledger.lock().unwrap().written.truncate(200);
    let done: u64 = whole[199].parse::<u64>().unwrap() + 1;
    for record in script.ledger.lock().unwrap().records.values_mut() {
        *record = tidegate_sdk::Record { position: None, base: 0, done };
    }
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.ledger(sink).written, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn sink_that_finds_its_record_moved_restarts_the_graph() {
    let (fakes, sink) = lane(500, |_| true);
    fakes.script(sink).fail(1, || Error::replay("rolled back"));
    let (ends, status) = fakes.run().await;
    assert_eq!((ends, status[0].restarts), (vec![End::Ended], 1));
    assert_eq!(fakes.ledger(sink).written, numbers(0..500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_gone_stops_until_the_user_starts_over() {
    let (mut fakes, sink) = lane(500, |_| true);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    *fakes.script(sink).ledger.lock().unwrap() = Default::default();
    let (ends, _) = fakes.run().await;
    assert!(matches!(&ends[0], End::Failed(reason) if reason.contains("--start-over")), "{ends:?}");
    assert!(fakes.ledger(sink).written.is_empty());
    fakes.start_over = true;
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.ledger(sink).written, numbers(0..500));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_of_one_source_each_get_everything_once() {
    let mut fakes = Fakes::new();
    fakes.delivery = Delivery::EffectivelyOnce;
    let source = fakes.source(1000);
    let one = fakes.sink(&[(source, MAIN)]);
    let few = fakes.filter(source, |number| number > 970);
    let other = fakes.sink(&[(few, MAIN)]);
    // The first crashes again and again, the second hardly ever hears of anything.
    for at in [100, 400, 800] {
        fakes.script(one).panic_at.store(at, Ordering::Relaxed);
        let (ends, _) = fakes.run().await;
        assert_eq!(ends, [End::Ended]);
    }
    assert_eq!(fakes.ledger(one).written, numbers(0..1000));
    assert_eq!(fakes.ledger(other).written, numbers(971..1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_after_a_run_gets_everything_and_the_others_nothing_twice() {
    let mut fakes = Fakes::new();
    fakes.delivery = Delivery::EffectivelyOnce;
    let source = fakes.source(1000);
    let first = fakes.sink(&[(source, MAIN)]);
    let few = fakes.filter(source, |number| number > 970);
    let second = fakes.sink(&[(few, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let added = [fakes.sink(&[(source, MAIN)]), fakes.sink(&[(few, MAIN)])];
    // It may be killed while it catches up.
    fakes.fast_retry(added[0], None);
    fakes.script(added[0]).panic_at.store(400, Ordering::Relaxed);
    for _ in 0..2 {
        let (ends, _) = fakes.run().await;
        assert_eq!(ends, [End::Ended]);
        for (sink, expected) in
            [(first, 0..1000), (second, 971..1000), (added[0], 0..1000), (added[1], 971..1000)]
        {
            assert_eq!(fakes.ledger(sink).written, numbers(expected), "sink {sink}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_event_is_a_dead_letter_and_the_others_are_committed() {
    let (fakes, sink) = lane(100, |_| true);
    fakes.script(sink).rejects_13.store(true, Ordering::Relaxed);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let expected: Vec<String> = numbers(0..100).into_iter().filter(|number| number != "13").collect();
    assert_eq!(fakes.ledger(sink).written, expected);
    assert_eq!(fakes.dead_letters().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_batches_of_the_sink_keep_the_place_within_a_source_batch() {
    let (mut fakes, sink) = lane(1000, |number| number % 4 != 3);
    let mut engine = tidegate_config::EngineOptions::default();
    engine.batch.events = 3;
    fakes.engine(sink, engine);
    let expected: Vec<String> =
        numbers(0..1000).into_iter().filter(|n| n.parse::<u64>().unwrap() % 4 != 3).collect();
    fakes.script(sink).panic_at.store(70, Ordering::Relaxed);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.ledger(sink).written, expected);
}

/// Reads `0.0`, `0.1`, ... in batches of 10. Each time that it is opened its input is another one: `1.0`, `1.1`, ...
struct Replaced {
    opened: Arc<AtomicU64>,
    input: u64,
    next: u64,
    announced: bool,
}

#[async_trait]
impl Source for Replaced {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.input = self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let position = |next: u64| Position::new(&(self.input, next));
        if !std::mem::replace(&mut self.announced, true) {
            return Ok(Some(SourceBatch::replaced_input("", position(0))));
        }
        if self.next >= 100 || cx.is_stopping() {
            return Ok(None);
        }
        let mut builder = Batch::builder();
        for number in self.next..self.next + 10 {
            builder.push_copy(format!("{}.{number}", self.input).as_bytes());
        }
        self.next += 10;
        builder.set_position(position(self.next));
        Ok(Some(builder.finish().into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_was_replaced_after_a_crash_within_a_batch_is_delivered_whole() {
    for at in [13, 47, 98] {
        let mut fakes = Fakes::new();
        fakes.delivery = Delivery::EffectivelyOnce;
        let opened = Arc::default();
        let build = move |_: NoOptions| {
            let opened = Arc::clone(&opened);
            Ok::<_, ConfigError>(Replaced { opened, input: 0, next: 0, announced: false })
        };
        let source = fakes.any_source(Plugin::source("replaced", "", "", build));
        let sinks = [fakes.sink(&[(source, MAIN)]), fakes.sink(&[(source, MAIN)])];
        for sink in sinks {
            let mut engine = tidegate_config::EngineOptions::default();
            engine.batch.events = 3;
            fakes.engine(sink, engine);
        }
        // The first sink stops within a batch of the source; the second is then somewhere else.
        fakes.script(sinks[0]).panic_at.store(at, Ordering::Relaxed);
        let (ends, status) = fakes.run().await;
        assert_eq!((ends, status[0].restarts), (vec![End::Ended], 1));
        for sink in sinks {
            let written = fakes.ledger(sink).written;
            let second: Vec<&String> = written.iter().filter(|text| text.starts_with("1.")).collect();
            let expected: Vec<String> = (0..100).map(|number| format!("1.{number}")).collect();
            assert_eq!(second, expected.iter().collect::<Vec<_>>(), "panic at {at}");
        }
    }
}
