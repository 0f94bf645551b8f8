//! How one graph gives way to another: its sinks are tried, it comes to its end, its successor opens.

use std::sync::Arc;
use std::time::Duration;

use tidegate_config::Node;
use tidegate_sdk::{Component, Cx, Kind, Replay};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::dataflow::state_handoff::SavedStates;
use crate::metrics::status::{End, GraphState, Health};
use crate::supervise::graph::GraphSupervisor;

/// How long a replaced graph may take to deliver what it has read, if that can be read again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a sink may take to be opened before anything is replaced, and how long a graph that was started
/// is watched for a failure.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// How often it is looked whether a graph has opened its sources and sinks.
const LOOK: Duration = Duration::from_millis(10);

/// Opens a sink and closes it again. Only one that may be there several times: another might disturb the one
/// that writes now.
pub(crate) async fn try_sink(node: Node) -> Result<(), String> {
    if !node.capabilities.forks {
        return Ok(());
    }
    let Component::Sink(mut sink) = node.build().map_err(|error| error.to_string())? else { return Ok(()) };
    let stopping = CancellationToken::new();
    let cx = Cx::new(&node.name, stopping.clone());
    let opened = match timeout(OPEN_TIME, sink.open(&cx)).await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", OPEN_TIME.as_secs())),
    };
    stopping.cancel();
    if opened.is_ok() && !matches!(timeout(OPEN_TIME, sink.close(&cx)).await, Ok(Ok(()))) {
        tracing::debug!(component = node.name, "the sink was opened to try it, and did not close well");
    }
    opened
}

/// Drains a graph and waits for its end. If it is replaced and its sources can read again what they have read,
/// what it cannot deliver soon is left to its successor. Returns how many events nobody reads again.
pub(crate) async fn retire(graph: &GraphSupervisor, is_replaced: bool) -> u64 {
    if graph.end().is_some() {
        return 0;
    }
    match is_replaced {
        true => graph.drain_for_successor(),
        false => graph.drain(),
    }
    let replays = can_replay(graph);
    if is_replaced && replays && timeout(PATIENCE, graph.over()).await.is_err() {
        graph.abort();
    }
    graph.over().await;
    let Some(End::DeadlinePassed { undelivered, replayed }) = graph.end() else { return 0 };
    let again = if replays { undelivered } else { replayed };
    if again > 0 {
        let when = if is_replaced { "now" } else { "when it is added again" };
        tracing::warn!(
            pipeline = graph.name(),
            "{again} events were not delivered in time, and are read again {when}"
        );
    }
    undelivered - again
}

/// What the filters of graphs that are over remember, for those that take their places.
pub(crate) fn remembered(graphs: &[Arc<GraphSupervisor>]) -> SavedStates {
    let mut all = SavedStates::default();
    for graph in graphs {
        let has_filters = graph.spec().graph.nodes.iter().any(|node| node.kind() == Kind::Filter);
        match graph.saved() {
            Some(saved) => all.extend(saved),
            // After the end of an input there is nothing to go on with.
            None if has_filters && graph.end() != Some(End::Ended) => {
                tracing::info!(
                    pipeline = graph.name(),
                    "the state of its filters is not handed over: it did not drain to the last event"
                );
            }
            None => {}
        }
    }
    all
}

fn can_replay(graph: &GraphSupervisor) -> bool {
    let replays = |node: &Node| node.kind() != Kind::Source || node.capabilities.replay != Replay::Never;
    graph.spec().graph.nodes.iter().all(replays)
}

/// Waits until the sources and sinks of a graph are open. One that has to try again is no failure.
pub(crate) async fn opened(graph: &GraphSupervisor) -> Result<(), String> {
    let until = Instant::now() + OPEN_TIME;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let status = graph.status();
        let mut ends = status.components.iter().filter(|component| component.kind != Kind::Filter);
        match status.state {
            GraphState::Over(End::Failed(reason)) => return Err(reason),
            GraphState::Over(_) => return Ok(()),
            // What failed as it started is over as soon as nothing is left to deliver.
            _ if graph.is_winding_down() => {}
            _ if ends.all(|component| component.health != Health::Starting) => return Ok(()),
            _ if Instant::now() >= until => return Ok(()),
            _ => {}
        }
    }
}
