//! Periodic log lines, for runs without a terminal.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_runtime::status::GraphStatus;
use tidegate_sdk::Kind;

use crate::commands::run::health;

/// Interval between log lines of an active graph.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);

/// Totals of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Events that its sources read.
    pub(crate) events_in: u64,
    /// Events that its sinks delivered.
    pub(crate) events_out: u64,
    /// Events that could not be processed.
    pub(crate) rejected: u64,
}

impl Totals {
    /// Returns the totals of a graph.
    pub(crate) fn of(graph: &GraphStatus) -> Self {
        let mut totals = Self::default();
        for component in &graph.components {
            totals.rejected += component.counts.rejected;
            match component.kind {
                Kind::Source => totals.events_in += component.counts.events_in,
                Kind::Sink => totals.events_out += component.counts.events_out,
                Kind::Filter => {}
            }
        }
        totals
    }
}

/// Totals in the last log lines.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    last: HashMap<String, Totals>,
}

impl Heartbeat {
    /// Logs a line for each graph whose totals have changed since the last call.
    pub(crate) fn beat(&mut self, graphs: &[GraphStatus], passed: Duration) {
        for (graph, totals, before) in self.moved(graphs) {
            let seconds = passed.as_secs_f64().max(0.001);
            let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round();
            let (state, _) = health::state(&graph.state);
            tracing::info!(
                pipeline = graph.name,
                events_in = totals.events_in,
                events_out = totals.events_out,
                in_per_second = rate(totals.events_in, before.events_in),
                out_per_second = rate(totals.events_out, before.events_out),
                rejected = totals.rejected,
                in_flight = graph.in_flight_events,
                "{state}"
            );
        }
    }

    fn moved<'a>(&mut self, graphs: &'a [GraphStatus]) -> Vec<(&'a GraphStatus, Totals, Totals)> {
        // Removed graphs are forgotten after a reload.
        self.last.retain(|name, _| graphs.iter().any(|graph| graph.name == *name));
        let mut moved = Vec::new();
        for graph in graphs {
            let totals = Totals::of(graph);
            let before = self.last.insert(graph.name.clone(), totals).unwrap_or_default();
            if totals != before {
                moved.push((graph, totals, before));
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::run::sample_status::{component, graph};
    use tidegate_runtime::status::GraphState;

    #[test]
    fn only_a_graph_with_new_totals_is_logged() {
        let (mut users, mut stream) = (component("users", Kind::Source), component("stream", Kind::Sink));
        (users.counts.events_in, stream.counts.events_out) = (7, 5);
        stream.counts.rejected = 2;
        let busy = graph("busy", GraphState::Running, vec![users, stream]);
        let idle = graph("idle", GraphState::Running, vec![component("users", Kind::Source)]);
        let graphs = [busy, idle];
        let mut heartbeat = Heartbeat::default();
        let totals = Totals { events_in: 7, events_out: 5, rejected: 2 };
        let first: Vec<_> =
            heartbeat.moved(&graphs).into_iter().map(|(one, now, _)| (&one.name, now)).collect();
        assert_eq!(first, [(&"busy".to_owned(), totals)]);
        assert!(heartbeat.moved(&graphs).is_empty());
    }
}
