//! Summary of a run as log lines, for JSON logs and quiet runs.

use tidegate_runtime::status::{End, GraphState, GraphStatus};

use super::display::heartbeat::Totals;
use super::health;

/// Logs how each graph ended: an error if something was not delivered.
pub(crate) fn log(graphs: &[GraphStatus]) {
    for graph in graphs {
        let (name, totals) = (&graph.name, Totals::of(graph));
        match &graph.state {
            GraphState::Over(End::Failed(reason)) => {
                tracing::error!(pipeline = name, reason, "failed");
            }
            GraphState::Over(End::CutShort { undelivered, .. }) => {
                let (state, reason) = health::state(&graph.state);
                tracing::error!(
                    pipeline = name,
                    undelivered = undelivered.events,
                    replayed = undelivered.replayed,
                    unanswered = undelivered.unanswered,
                    reason,
                    "{state}"
                );
            }
            _ => {}
        }
        let (state, _) = health::state(&graph.state);
        tracing::info!(
            pipeline = name,
            events_in = totals.events_in,
            events_out = totals.events_out,
            rejected = totals.rejected,
            restarts = graph.restarts,
            elapsed_seconds = graph.ran.as_secs_f64(),
            "{state}"
        );
        for component in &graph.components {
            let counts = component.counts;
            tracing::info!(
                pipeline = name,
                component = component.name,
                kind = component.kind.name(),
                plugin = component.plugin,
                events_in = counts.events_in,
                bytes_in = counts.bytes_in,
                events_out = counts.events_out,
                bytes_out = counts.bytes_out,
                rejected = counts.rejected,
                retried = counts.retried,
                skipped = counts.skipped,
                already_done = counts.elsewhere,
                cancelled = counts.cancelled,
                "component summary"
            );
        }
    }
}
