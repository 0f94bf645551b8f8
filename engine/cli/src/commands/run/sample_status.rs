//! Sample status of graphs and components, for tests.

use std::time::Duration;

use tidegate_runtime::status::{ComponentStatus, Counts, GraphState, GraphStatus, Health, Latency};
use tidegate_sdk::Kind;

/// A component that has done nothing.
pub(crate) fn component(name: &str, kind: Kind) -> ComponentStatus {
    ComponentStatus {
        name: name.to_owned(),
        kind,
        plugin: "jq".to_owned(),
        health: Health::Ready,
        counts: Counts::default(),
        queue: None,
        progress: None,
        latency: Latency::default(),
        user_metrics: Vec::new(),
    }
}

/// A graph of these components.
pub(crate) fn graph(name: &str, state: GraphState, components: Vec<ComponentStatus>) -> GraphStatus {
    let name = name.to_owned();
    let ran = Duration::from_secs(10);
    GraphStatus { name, state, components, in_flight_bytes: 0, in_flight_events: 0, restarts: 0, ran }
}
