//! Handoff from one graph to its successor: its sinks are tried, it drains, the successor opens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_config::Node;
use tidegate_sdk::{Component, Cx, Kind, Replay};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dataflow::state_handoff::SavedStates;
use crate::metrics::status::{End, Undelivered};
use crate::supervise::graph::GraphSupervisor;

/// Time that a replaced graph has to deliver what it has read, if that can be read again.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Time that a sink has to open before anything is replaced, and for which a started graph is watched for a failure.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// Opens a sink and closes it again. Only a forkable sink is tried: another instance may disturb the running one.
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
        tracing::debug!(component = node.name, "the sink was opened to try it, and failed to close");
    }
    opened
}

/// Drains a graph and waits for its end. A replaced graph whose sources can read again is cut off after [`DRAIN_TIME`],
/// and leaves the rest to its successor. Returns the number of events that are lost.
pub(crate) async fn retire(graph: &GraphSupervisor, is_replaced: bool) -> u64 {
    if graph.end().is_some() {
        return 0;
    }
    if is_replaced {
        graph.drain_for_successor();
    } else {
        graph.drain();
    }
    let replays = can_replay(graph);
    if is_replaced && replays && timeout(DRAIN_TIME, graph.over()).await.is_err() {
        graph.abort();
    }
    graph.over().await;
    let Some(End::CutShort { mut undelivered, .. }) = graph.end() else { return 0 };
    if replays {
        // Redelivered input has no position that was counted.
        undelivered.replayed = undelivered.events - undelivered.unanswered;
    }
    report_undelivered(graph.name(), undelivered, is_replaced);
    undelivered.lost()
}

/// Logs the events of a retired graph that were not delivered and are not lost.
fn report_undelivered(pipeline: &str, undelivered: Undelivered, is_replaced: bool) {
    let Undelivered { replayed, unanswered, .. } = undelivered;
    if replayed > 0 {
        let when = if is_replaced { "now" } else { "when the pipeline is added again" };
        tracing::warn!(pipeline, "{replayed} events were not delivered in time, and are read again {when}");
    }
    if unanswered > 0 {
        tracing::warn!(
            pipeline,
            "requests with {unanswered} events were cut off: their clients get an error and have to send them again"
        );
    }
}

/// Collects the filter states of graphs that are over, for their successor.
pub(crate) fn saved_states(graphs: &[Arc<GraphSupervisor>]) -> SavedStates {
    let mut all = SavedStates::default();
    for graph in graphs {
        let has_filters = graph.spec().graph.nodes.iter().any(|node| node.kind() == Kind::Filter);
        match graph.saved() {
            Some(saved) => all.extend(saved),
            // An input that has ended has no state to continue with.
            None if has_filters && graph.end() != Some(End::Ended) => {
                tracing::info!(
                    pipeline = graph.name(),
                    "the states of its filters are not kept: it did not deliver everything that it had read"
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

/// Waits until the sources and sinks of a graph have been opened, and returns the reason if the graph failed. A component
/// that retries is not a failure.
pub(crate) async fn opened(graph: &GraphSupervisor) -> Result<(), String> {
    let spec = graph.spec();
    let ends = spec.graph.nodes.iter().zip(&spec.component_metrics);
    let ends = ends.filter(|(node, _)| node.kind() != Kind::Filter);
    let opened = async {
        join_all(ends.map(|(_, metrics)| metrics.left_start())).await;
        if graph.is_winding_down() {
            // A graph that failed as it started is over as soon as everything is delivered.
            std::future::pending::<()>().await;
        }
    };
    let opened_or_over = async {
        tokio::select! {
            biased;
            () = graph.over() => {}
            () = opened => {}
        }
    };
    // A graph that takes longer is watched no further.
    drop(timeout(OPEN_TIME, opened_or_over).await);
    match graph.end() {
        Some(End::Failed(reason)) => Err(reason),
        _ => Ok(()),
    }
}
