//! Whole graphs in this process, with components that do as the test says.

mod ack;
mod alone;
mod clients;
mod effectively_once;
mod failing;
mod fakes;
mod group;
mod reload;
mod state;
mod workers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fakes::Fakes;
use tidegate_config::{EngineOptions, OnReject, OutputName};
use tidegate_sdk::{Class, Error, Size};

use crate::Engine;
use crate::status::{End, GraphState, Health, StopCause, Undelivered};

const MAIN: OutputName = OutputName::Port(0);

/// Waits for a condition, for a minute at most.
async fn until(mut condition: impl FnMut() -> bool) {
    let reached = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached)
        .await
        .expect("the condition holds within a minute");
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straight_graph_delivers_everything_in_order() {
    let mut fakes = Fakes::new();
    let source = fakes.source(1000);
    let even = fakes.filter(source, |number| number.is_multiple_of(2));
    let sink = fakes.sink(&[(even, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let expected: Vec<String> = (0..1000).step_by(2).map(|number| number.to_string()).collect();
    assert_eq!(fakes.written(sink), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_branch_gets_every_event_and_they_meet_again() {
    let mut fakes = Fakes::new();
    let source = fakes.source(500);
    let low = fakes.filter(source, |number| number < 100);
    let high = fakes.filter(source, |number| number >= 100);
    let both = fakes.sink(&[(low, MAIN), (high, MAIN)]);
    let all = fakes.sink(&[(source, MAIN)]);
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(all), numbers(0..500));
    assert_eq!(fakes.written(both).into_iter().collect::<BTreeSet<_>>().len(), 500);
    assert_eq!((status[0].in_flight_events, status[0].in_flight_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn named_outputs_and_rejected_events_go_their_own_way() {
    let mut fakes = Fakes::new();
    let source = fakes.source(100);
    let route = fakes.route(source);
    let tens = fakes.sink(&[(route, OutputName::Port(1))]);
    let rest = fakes.sink(&[(route, MAIN)]);
    let rejected = fakes.sink(&[(route, OutputName::Rejected)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(tens), ["0", "10", "20", "30", "40", "50", "60", "70", "80", "90"]);
    assert_eq!(fakes.written(rejected), ["13"]);
    assert_eq!(fakes.written(rest).len(), 89);
    assert!(fakes.dead_letters().is_empty(), "an event that is read from `.rejected` is no dead letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_events_become_dead_letters_with_their_origin() {
    let mut fakes = Fakes::new();
    let source = fakes.source(100);
    let route = fakes.route(source);
    fakes.sink(&[(route, MAIN)]);
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let dead_letters = fakes.dead_letters();
    assert_eq!(dead_letters.len(), 1);
    let dead_letter = &dead_letters[0];
    assert_eq!((dead_letter.payload.as_slice(), dead_letter.reason.as_str()), (b"13".as_slice(), "unlucky"));
    // The fake source makes batches of 10.
    assert_eq!((dead_letter.sequence, dead_letter.index, dead_letter.source.as_str()), (1, 3, "c0"));
    assert_eq!(status[0].components[1].counts.rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_reject_stop_fails_the_pipeline() {
    let mut fakes = Fakes::new();
    let source = fakes.source(100);
    let route = fakes.route(source);
    fakes.engine(route, EngineOptions { on_reject: Some(OnReject::Stop), ..EngineOptions::default() });
    fakes.sink(&[(route, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert!(matches!(&ends[0], End::Failed(reason) if reason.contains("unlucky")), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_writes_are_tried_again_in_order() {
    let mut fakes = Fakes::new();
    let source = fakes.source(200);
    let sink = fakes.sink(&[(source, MAIN)]);
    let script = fakes.script(sink);
    script.fail(3, || Error::retry("down"));
    fakes.fast_retry(sink, None);
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), numbers(0..200));
    assert_eq!(status[0].components[1].counts.retried, 3);
    assert_eq!(status[0].components[1].counts.events_out, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_events_that_failed_are_tried_again() {
    let mut fakes = Fakes::new();
    let source = fakes.source(10);
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).fail_odd_once.store(true, Ordering::Relaxed);
    fakes.fast_retry(sink, None);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), ["0", "2", "4", "6", "8", "1", "3", "5", "7", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_become_dead_letters_when_their_tries_are_used_up() {
    let mut fakes = Fakes::new();
    let source = fakes.source(10);
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).fail(usize::MAX, || Error::retry("down"));
    fakes.fast_retry(sink, Some(3));
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let dead_letters = fakes.dead_letters();
    assert_eq!(dead_letters.len(), 10);
    assert_eq!(
        (dead_letters[0].reason.as_str(), dead_letters[0].attempts),
        ("given up after 3 tries: down", 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_at_the_start_is_waited_for() {
    let mut fakes = Fakes::new();
    let source = fakes.source(10);
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).fail_open.store(3, Ordering::Relaxed);
    fakes.fast_retry(sink, Some(1));
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), numbers(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_restarts_the_graph_from_its_position_and_loses_nothing() {
    let mut fakes = Fakes::new();
    let source = fakes.source(300);
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).panic_at.store(15, Ordering::Relaxed);
    let other_source = fakes.graph().source(50);
    let other = fakes.sink(&[(other_source, MAIN)]);
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended, End::Ended]);
    assert_eq!((status[0].restarts, status[1].restarts), (1, 0));
    let written = fakes.written(sink);
    assert_eq!(written.iter().cloned().collect::<BTreeSet<_>>(), numbers(0..300).into_iter().collect());
    assert_eq!(fakes.written(other), numbers(0..50), "the graph beside it does not notice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_fails_one_graph_and_leaves_the_other() {
    let mut fakes = Fakes::new();
    let source = fakes.source(300);
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).fail(1, || Error::new(Class::Fatal, "no way"));
    let other_source = fakes.graph().source(50);
    let other = fakes.sink(&[(other_source, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Failed("`c1`: no way".into()), End::Ended]);
    assert_eq!(fakes.written(other).len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_sink_stops_its_source() {
    let mut fakes = Fakes::new();
    fakes.memory = Size(64 << 10);
    let source = fakes.endless_source();
    let sink = fakes.sink(&[(source, MAIN)]);
    let script = fakes.script(sink);
    script.stall();
    let engine = fakes.start();
    script.stalled().await;
    // The source reads on until the budget is used up, and then not one batch more.
    let limit = 64 << 10;
    let full = || engine.status()[0].in_flight_bytes;
    until(|| full() >= limit).await;
    let read = engine.status()[0].components[0].counts.events_out;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        assert_eq!(full(), limit);
    }
    // One more batch may have been read that waits for the budget.
    assert!(engine.status()[0].components[0].counts.events_out <= read + 10);
    script.go_on();
    engine.drain();
    engine.finished().await;
    assert_eq!(engine.status()[0].state, GraphState::Over(End::Drained));
    assert_eq!(engine.status()[0].components[1].health, Health::Ended);
    let written = fakes.written(sink);
    assert_eq!(written, numbers(0..written.len() as u64), "what was read before the drain is delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn sink_that_is_not_required_delays_no_other() {
    let mut fakes = Fakes::new();
    let source = fakes.source(20_000);
    let optional = fakes.sink(&[(source, MAIN)]);
    fakes.engine(optional, EngineOptions { required: false, ..EngineOptions::default() });
    let script = fakes.script(optional);
    script.stall();
    let required = fakes.sink(&[(source, MAIN)]);
    let engine = fakes.start();
    until(|| fakes.written(required).len() >= 20_000).await;
    script.go_on();
    engine.finished().await;
    let counts = engine.status()[0].components[1].counts;
    assert!(counts.skipped > 0);
    assert_eq!(counts.skipped + counts.events_out, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_that_takes_too_long_reports_undelivered_events() {
    let mut fakes = Fakes::new();
    fakes.drain_timeout = Duration::from_millis(50);
    let source = fakes.source(30);
    let sink = fakes.sink(&[(source, MAIN)]);
    let script = fakes.script(sink);
    script.stall();
    let engine = fakes.start();
    script.stalled().await;
    until(|| engine.status()[0].in_flight_events >= 30).await;
    engine.drain();
    engine.finished().await;
    let undelivered = Undelivered { events: 30, replayed: 30, unanswered: 0 };
    let end = End::CutShort { cause: StopCause::DrainTimeout, undelivered };
    assert_eq!(engine.status()[0].state, GraphState::Over(end));
    // The next run begins where this one was.
    drop(engine);
    script.go_on();
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), numbers(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_a_sink_that_has_nothing_to_do() {
    let mut fakes = Fakes::new();
    let source = fakes.silent_source();
    let sink = fakes.sink(&[(source, MAIN)]);
    fakes.script(sink).fail_open.store(usize::MAX, Ordering::Relaxed);
    let engine = fakes.start();
    engine.drain();
    tokio::time::timeout(Duration::from_secs(20), engine.finished()).await.unwrap();
    assert_eq!(engine.status()[0].state, GraphState::Over(End::Drained));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_on_the_same_folder_is_refused() {
    let mut fakes = Fakes::new();
    let source = fakes.silent_source();
    fakes.sink(&[(source, MAIN)]);
    let engine = fakes.start();
    let error = Engine::start(fakes.pipelines(), &fakes.options()).err().unwrap();
    assert!(error.to_string().contains("another process"), "{error}");
    engine.abort();
    engine.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_cut_to_the_size_of_the_sink() {
    let mut fakes = Fakes::new();
    let source = fakes.source(1000);
    let sink = fakes.sink(&[(source, MAIN)]);
    let mut engine = EngineOptions::default();
    engine.batch.events = 7;
    fakes.engine(sink, engine);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), numbers(0..1000));
    let largest = Arc::clone(&fakes.script(sink)).largest.load(Ordering::Relaxed);
    assert!(largest <= 7, "{largest}");
}
