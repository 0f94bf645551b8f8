//! Pipelines replaced while they run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegate_config::{Delivery, Pipeline};
use tidegate_sdk::Error;

use super::fakes::{Fakes, Script};
use super::until;
use super::{MAIN, numbers};
use crate::metrics::status::{End, GraphState};
use crate::{Engine, Options, ReloadError, Reloaded};

/// A source that never ends and a sink.
fn endless() -> (Fakes, Arc<Script>) {
    let mut fakes = Fakes::new();
    let source = fakes.endless_source();
    let sink = fakes.sink(&[(source, MAIN)]);
    let script = fakes.script(sink);
    (fakes, script)
}

fn start(fakes: &Fakes) -> Arc<Engine> {
    Arc::new(fakes.start())
}

/// Waits until the sink has this number of events.
async fn until_written(fakes: &Fakes, sink: usize, count: usize) {
    let enough = async {
        while fakes.written(sink).len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), enough).await.expect("it goes on");
}

async fn drain(engine: &Engine) {
    engine.drain();
    tokio::time::timeout(Duration::from_secs(30), engine.finished()).await.expect("it ends");
}

fn reloaded_as(changed: usize, added: usize, removed: usize, untouched: usize) -> Reloaded {
    Reloaded { changed, added, removed, untouched, ..Reloaded::default() }
}

fn renamed(mut pipelines: Vec<Pipeline>, id: &str) -> Vec<Pipeline> {
    for pipeline in &mut pipelines {
        (pipeline.name, pipeline.id) = (id.into(), id.into());
    }
    pipelines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_changes_again_and_again_loses_nothing_and_doubles_nothing() {
    let (mut fakes, _) = endless();
    let engine = start(&fakes);
    let over = tidegate_sdk::Tasks::new().spawn({
        let engine = Arc::clone(&engine);
        async move { engine.finished().await }
    });
    for _ in 0..20 {
        until_written(&fakes, 1, fakes.written(1).len() + 100).await;
        let pipelines = fakes.change(1).pipelines();
        assert_eq!(engine.reload(pipelines).await.unwrap(), reloaded_as(1, 0, 0, 0));
        assert!(!over.is_finished(), "the engine is not over between two graphs");
    }
    until_written(&fakes, 1, fakes.written(1).len() + 100).await;
    drain(&engine).await;
    over.await.unwrap();
    let written = fakes.written(1);
    assert_eq!(written, numbers(0..written.len() as u64));
    let counts = engine.status()[0].components[1].counts;
    assert_eq!(counts.events_out, written.len() as u64, "a component that stays goes on counting");
}

#[tokio::test(flavor = "multi_thread")]
async fn effectively_once_stays_so_when_answers_are_lost_around_reloads() {
    let (mut fakes, script) = endless();
    fakes.delivery = Delivery::EffectivelyOnce;
    fakes.fast_retry(1, None);
    let engine = start(&fakes);
    for _ in 0..10 {
        let before = fakes.ledger(1).written.len();
        script.lose_answers.store(3, Ordering::Relaxed);
        while fakes.ledger(1).written.len() < before + 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(engine.reload(fakes.change(1).pipelines()).await.unwrap(), reloaded_as(1, 0, 0, 0));
    }
    drain(&engine).await;
    let written = fakes.ledger(1).written;
    assert_eq!(written, numbers(0..written.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_over_is_for_the_start_and_not_for_reloads() {
    let (mut fakes, _) = endless();
    let options = Options { start_over: true, ..fakes.options() };
    let engine = Arc::new(Engine::start(fakes.pipelines(), &options).unwrap());
    until_written(&fakes, 1, 100).await;
    engine.reload(fakes.change(1).pipelines()).await.unwrap();
    drain(&engine).await;
    let written = fakes.written(1);
    assert_eq!(written, numbers(0..written.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_touched() {
    let (mut fakes, kept) = endless();
    let source = fakes.graph().endless_source();
    let sink = fakes.sink(&[(source, MAIN)]);
    let changed = fakes.script(sink);
    let engine = start(&fakes);
    until_written(&fakes, 1, 10).await;
    until(|| changed.opened.load(Ordering::Relaxed) == 1).await;
    let pipelines = fakes.change(1).pipelines();
    assert_eq!(engine.reload(pipelines).await.unwrap(), reloaded_as(1, 0, 0, 1));
    assert_eq!(engine.reload(fakes.pipelines()).await.unwrap(), reloaded_as(0, 0, 0, 2));
    assert_eq!(kept.opened.load(Ordering::Relaxed), 1);
    assert_eq!(changed.opened.load(Ordering::Relaxed), 2);
    drain(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_come_and_go_and_their_folders_with_them() {
    let (first, _) = endless();
    let (second, _) = endless();
    let engine = start(&first);
    let both = || [first.pipelines(), renamed(second.pipelines(), "q")].concat();
    assert_eq!(engine.reload(both()).await.unwrap(), reloaded_as(0, 1, 0, 1));
    until_written(&second, 1, 10).await;
    assert_eq!(engine.status().iter().map(|graph| graph.name.clone()).collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!(engine.reload(renamed(second.pipelines(), "q")).await.unwrap(), reloaded_as(0, 0, 1, 1));
    let written = first.written(1);
    assert_eq!(written, numbers(0..written.len() as u64), "what was read is delivered");
    assert_eq!(engine.status().len(), 1);
    // The folder of what was removed is free, that of what was added is not.
    let other = Engine::start(first.pipelines(), &first.options()).unwrap();
    assert!(Engine::start(renamed(second.pipelines(), "q"), &first.options()).is_err());
    drain(&other).await;
    drain(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_another_process_holds_refuses_the_reload() {
    let (fakes, _) = endless();
    let (other, _) = endless();
    let taken = renamed(other.pipelines(), "q");
    let holder = Engine::start(taken.clone(), &fakes.options()).unwrap();
    let engine = start(&fakes);
    let refused = engine.reload([taken, fakes.pipelines()].concat()).await.unwrap_err();
    assert!(matches!(refused, ReloadError::Folder(_)) && refused.to_string().contains("another process"));
    until_written(&fakes, 1, fakes.written(1).len() + 100).await;
    drain(&holder).await;
    drain(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_that_cannot_be_opened_refuses_the_reload() {
    let (fakes, script) = endless();
    let (mut next, broken) = endless();
    broken.forks.store(true, Ordering::Relaxed);
    broken.fail_open.store(1, Ordering::Relaxed);
    let engine = start(&fakes);
    let refused = engine.reload(next.change(1).pipelines()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pipeline `p`: the sink `c1` cannot be opened: not up yet",
        "its name and what it said"
    );
    until_written(&fakes, 1, fakes.written(1).len() + 100).await;
    assert_eq!(script.opened.load(Ordering::Relaxed), 1, "what ran is not touched");
    assert_eq!(
        engine.reload(next.pipelines()).await.unwrap(),
        reloaded_as(1, 0, 0, 0),
        "now it can be opened"
    );
    drain(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_as_before_may_be_down() {
    let (mut fakes, script) = endless();
    script.forks.store(true, Ordering::Relaxed);
    script.fail_open.store(usize::MAX, Ordering::Relaxed);
    let engine = start(&fakes);
    // Only the source changes. Nothing can be delivered, and all that was read is read again.
    let reloaded = engine.reload(fakes.change(0).pipelines()).await.unwrap();
    assert_eq!(reloaded, reloaded_as(1, 0, 0, 0));
    engine.abort();
    engine.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_does_not_hold_up_its_successor() {
    let (fakes, stalled) = endless();
    let (mut next, _) = endless();
    stalled.stall();
    let engine = start(&fakes);
    stalled.stalled().await;
    let since = Instant::now();
    let reloaded = engine.reload(next.change(1).pipelines()).await.unwrap();
    assert_eq!(reloaded, reloaded_as(1, 0, 0, 0), "nothing is lost");
    assert!(since.elapsed() < fakes.drain_timeout, "it is given up before the deadline of a drain");
    until_written(&next, 1, 100).await;
    drain(&engine).await;
    let written = next.written(1);
    assert_eq!(written, numbers(0..written.len() as u64), "what was in flight is read again");
    assert!(fakes.written(1).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_does_not_start_gives_way_to_the_one_before() {
    let (fakes, script) = endless();
    let (mut next, broken) = endless();
    broken.never_opens.store(true, Ordering::Relaxed);
    let engine = start(&fakes);
    until_written(&fakes, 1, 100).await;
    let reloaded = engine.reload(next.change(1).pipelines()).await.unwrap();
    let failed = "`p` did not start (`c1`: not like this) and runs as before";
    assert_eq!(reloaded, Reloaded { failed: vec![failed.into()], ..Reloaded::default() });
    until_written(&fakes, 1, fakes.written(1).len() + 100).await;
    assert_eq!(script.opened.load(Ordering::Relaxed), 2);
    assert_eq!(engine.reload(fakes.pipelines()).await.unwrap(), reloaded_as(0, 0, 0, 1), "it is the old one");
    drain(&engine).await;
    let written = fakes.written(1);
    assert_eq!(written, numbers(0..written.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_has_failed_is_tried_again_and_one_that_has_ended_is_left() {
    let mut fakes = Fakes::new();
    let source = fakes.source(50);
    let failing = fakes.sink(&[(source, MAIN)]);
    fakes.script(failing).fail(1, || Error::fatal("no way"));
    let source = fakes.graph().source(50);
    let ending = fakes.sink(&[(source, MAIN)]);
    fakes.graph().silent_source();
    fakes.sink(&[(0, MAIN)]);
    let engine = start(&fakes);
    let over = |index: usize| matches!(engine.status()[index].state, GraphState::Over(_));
    while !over(0) || !over(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(engine.reload(fakes.pipelines()).await.unwrap(), reloaded_as(1, 0, 0, 2));
    until_written(&fakes, failing, 50).await;
    assert_eq!(fakes.written(ending), numbers(0..50));
    drain(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_that_merge_go_on_where_both_were() {
    let mut fakes = Fakes::new();
    fakes.endless_source();
    fakes.sink(&[(0, MAIN)]);
    fakes.graph().endless_source();
    fakes.sink(&[(0, MAIN)]);
    let mut pipelines = fakes.pipelines();
    let second = pipelines[0].graphs.remove(1);
    pipelines[0].graphs[0].nodes.extend(second.nodes);
    pipelines[0].graphs[0].nodes[3].inputs[0].node = 2;
    let engine = start(&fakes);
    until_written(&fakes, 1, 100).await;
    until_written(&fakes, 3, 100).await;
    assert_eq!(engine.reload(pipelines).await.unwrap(), reloaded_as(1, 0, 0, 0));
    assert_eq!(engine.status().len(), 1);
    // And apart again.
    assert_eq!(engine.reload(fakes.pipelines()).await.unwrap(), reloaded_as(2, 0, 0, 0));
    drain(&engine).await;
    for sink in [1, 3] {
        let written = fakes.written(sink);
        assert_eq!(written, numbers(0..written.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_during_a_reload_starts_nothing_more() {
    let (fakes, script) = endless();
    let (mut next, successor) = endless();
    script.stall();
    let engine = start(&fakes);
    script.stalled().await;
    let reload = tidegate_sdk::Tasks::new().spawn({
        let (engine, pipelines) = (Arc::clone(&engine), next.change(1).pipelines());
        async move { engine.reload(pipelines).await }
    });
    until(|| engine.status()[0].state == GraphState::Draining).await;
    engine.drain();
    script.go_on();
    tokio::time::timeout(Duration::from_secs(30), engine.finished()).await.expect("it ends");
    reload.await.unwrap().unwrap();
    assert_eq!(successor.opened.load(Ordering::Relaxed), 0);
    assert_eq!(engine.status()[0].state, GraphState::Over(End::Drained));
    let written = fakes.written(1);
    assert_eq!(written, numbers(0..written.len() as u64), "what was read is delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_take_their_turns_and_a_drain_ends_them() {
    let (mut fakes, _) = endless();
    let engine = start(&fakes);
    let (one, two) = (fakes.change(1).pipelines(), fakes.change(1).pipelines());
    let (first, second) = tokio::join!(engine.reload(one), engine.reload(two));
    assert_eq!((first.unwrap(), second.unwrap()), (reloaded_as(1, 0, 0, 0), reloaded_as(1, 0, 0, 0)));
    engine.drain();
    let refused = engine.reload(fakes.change(1).pipelines()).await;
    assert!(matches!(refused, Err(ReloadError::Draining)), "{refused:?}");
    drain(&engine).await;
    assert_eq!(engine.status()[0].state, GraphState::Over(End::Drained));
    let written = fakes.written(1);
    assert_eq!(written, numbers(0..written.len() as u64));
}
