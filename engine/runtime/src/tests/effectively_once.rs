//! Graphs with `delivery = "effectively_once"`: what sinks commit survives the graph; nothing comes twice.

use std::sync::atomic::Ordering;

use tidegate_config::Delivery;
use tidegate_sdk::Error;

use super::fakes::Fakes;
use super::{MAIN, numbers};
use crate::status::End;

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
async fn a_sink_that_finds_its_record_moved_starts_the_graph_anew() {
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
