//! Readiness and status of the graphs as the admin server reports them.

use serde_json::{Value, json};
use tidegate_runtime::status::{ComponentStatus, End, GraphState, GraphStatus, Health, StopCause};

use super::reloads::{Outcome, Reloads};
use crate::terminal::escape_control;

/// Returns true if the graph has not failed and each of its components is ready or has ended.
pub(crate) fn is_ready(graph: &GraphStatus) -> bool {
    let failed = matches!(
        graph.state,
        GraphState::Restarting(_) | GraphState::Over(End::Failed(_) | End::CutShort { .. })
    );
    let works = |component: &ComponentStatus| matches!(component.health, Health::Ready | Health::Ended);
    !failed && graph.components.iter().all(works)
}

/// Returns a line for each component that stays blocked until the process is restarted.
pub(crate) fn blocked(graphs: &[GraphStatus]) -> String {
    let mut lines = String::new();
    for graph in graphs {
        for component in &graph.components {
            if let Health::Blocked(reason) = &component.health {
                let (name, reason) = (&component.name, escape_control(reason));
                lines += &format!("{}: `{name}` is blocked: {reason}\n", graph.name);
            }
        }
    }
    lines
}

/// Returns the readiness of all graphs, and the reason of each component that is not ready.
pub(crate) fn readiness(graphs: &[GraphStatus]) -> (bool, Value) {
    let ready = graphs.iter().all(is_ready);
    let graphs: Vec<Value> = graphs
        .iter()
        .map(|graph| {
            let (state, reason) = state(&graph.state);
            let components: Vec<Value> = graph.components.iter().map(component_health).collect();
            json!({
                "pipeline": graph.name,
                "ready": is_ready(graph),
                "state": state,
                "reason": reason,
                "components": components,
            })
        })
        .collect();
    (ready, json!({ "ready": ready, "graphs": graphs }))
}

fn component_health(component: &ComponentStatus) -> Value {
    let (health, reason) = health(&component.health);
    json!({ "component": component.name, "health": health, "reason": reason })
}

/// Returns the content of the dashboard.
pub(crate) fn status(graphs: &[GraphStatus], reloads: &Reloads) -> Value {
    let graphs: Vec<Value> = graphs
        .iter()
        .map(|graph| {
            let (state, reason) = state(&graph.state);
            json!({
                "pipeline": graph.name,
                "state": state,
                "reason": reason,
                "in_flight_events": graph.in_flight_events,
                "in_flight_bytes": graph.in_flight_bytes,
                "restarts": graph.restarts,
                "components": graph.components.iter().map(component_status).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "version": env!("CARGO_PKG_VERSION"), "graphs": graphs, "reloads": reload_status(reloads) })
}

fn reload_status(reloads: &Reloads) -> Value {
    let mut status = serde_json::Map::new();
    for (outcome, count) in Outcome::ALL.into_iter().zip(reloads.counts) {
        status.insert(outcome.name().to_owned(), count.into());
    }
    let last = reloads.last.as_ref().map(|last| {
        json!({ "time": last.time.to_string(), "outcome": last.outcome.name(), "message": last.message })
    });
    status.insert("last".to_owned(), last.into());
    Value::Object(status)
}

fn component_status(component: &ComponentStatus) -> Value {
    let counts = component.counts;
    let (health, reason) = health(&component.health);
    json!({
        "component": component.name,
        "kind": component.kind.name(),
        "plugin": component.plugin,
        "health": health,
        "reason": reason,
        "events_in": counts.events_in,
        "bytes_in": counts.bytes_in,
        "events_out": counts.events_out,
        "bytes_out": counts.bytes_out,
        "rejected": counts.rejected,
        "retried": counts.retried,
        "skipped": counts.skipped,
        "already_done": counts.elsewhere,
        "cancelled": counts.cancelled,
        "queue": component.queue.map(|queue| json!({ "bytes": queue.bytes, "capacity": queue.capacity })),
        "progress": component.progress.map(|(done, total)| json!({ "done": done, "total": total })),
    })
}

/// Returns the name of a component's health, and the reason if there is one.
pub(crate) fn health(health: &Health) -> (&'static str, Option<&str>) {
    match health {
        Health::Starting => ("starting", None),
        Health::Ready => ("ready", None),
        Health::Waiting(reason) => ("waiting", Some(reason)),
        Health::Unhealthy(reason) => ("unhealthy", Some(reason)),
        Health::Blocked(reason) => ("blocked", Some(reason)),
        Health::Ended => ("ended", None),
    }
}

/// Returns the name of a state, and the reason if there is one.
pub(crate) fn state(state: &GraphState) -> (&'static str, Option<&str>) {
    match state {
        GraphState::Running => ("running", None),
        GraphState::Draining => ("draining", None),
        GraphState::Restarting(reason) => ("restarting", Some(reason)),
        GraphState::Over(End::Ended) => ("ended", None),
        GraphState::Over(End::Drained) => ("drained", None),
        GraphState::Over(End::Failed(reason)) => ("failed", Some(reason)),
        GraphState::Over(End::CutShort { cause, .. }) => match cause {
            StopCause::DrainTimeout => ("drain deadline passed", None),
            StopCause::Abort => ("stopped at once", None),
            StopCause::Undeliverable(reason) => ("drained in part", Some(reason)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::run::sample_status::{component, graph};
    use tidegate_sdk::Kind;

    fn with_health(health: Health) -> GraphStatus {
        let mut one = component("stream", Kind::Sink);
        one.health = health;
        graph("p", GraphState::Running, vec![component("users", Kind::Source), one])
    }

    #[test]
    fn one_component_that_waits_makes_the_whole_not_ready() {
        assert!(readiness(&[with_health(Health::Ready), with_health(Health::Ended)]).0);
        for health in [Health::Starting, Health::Waiting("x".into()), Health::Unhealthy("x".into())] {
            assert!(!readiness(&[with_health(Health::Ready), with_health(health)]).0);
        }
        let (_, body) = readiness(&[with_health(Health::Waiting("no answer".into()))]);
        assert_eq!(body["ready"], false);
        let component = &body["graphs"][0]["components"][1];
        assert_eq!(*component, json!({"component": "stream", "health": "waiting", "reason": "no answer"}));
    }

    #[test]
    fn only_a_blocked_component_fails_the_liveness_check() {
        for health in [Health::Starting, Health::Waiting("x".into()), Health::Unhealthy("x".into())] {
            assert_eq!(blocked(&[with_health(health)]), "");
        }
        let graph = with_health(Health::Blocked("too many dead letters".into()));
        assert!(!is_ready(&graph));
        assert_eq!(blocked(&[graph]), "p: `stream` is blocked: too many dead letters\n");
    }

    #[test]
    fn a_graph_that_failed_is_not_ready_and_one_that_ended_is() {
        assert!(is_ready(&graph("p", GraphState::Over(End::Ended), Vec::new())));
        assert!(is_ready(&graph("p", GraphState::Draining, Vec::new())));
        assert!(!is_ready(&graph("p", GraphState::Over(End::Failed("x".into())), Vec::new())));
        assert!(!is_ready(&graph("p", GraphState::Restarting("x".into()), Vec::new())));
    }
}
