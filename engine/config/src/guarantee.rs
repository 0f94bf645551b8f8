//! What is promised for each lane, a source and a sink that its events reach, and why not more.

use tidegate_sdk::{Component, Kind, Replay};

use crate::topology::{Delivery, Graph, Node};

/// What holds for a lane across crashes. While the process runs, nothing is lost on any lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing is lost, nothing comes twice.
    EffectivelyOnce,
    /// Nothing is lost; after a crash something may come twice.
    AtLeastOnce,
    /// What is in flight when the process is killed is lost.
    AtMostOnce,
}

impl Promise {
    /// The promise in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EffectivelyOnce => "effectively once",
            Self::AtLeastOnce => "at least once",
            Self::AtMostOnce => "at most once across a crash",
        }
    }
}

/// What is promised for one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// Name of the source.
    pub source: String,
    /// Name of the sink.
    pub sink: String,
    /// What holds.
    pub promise: Promise,
    /// Why it is not more; `None` if it is the most there is.
    pub reason: Option<String>,
}

/// What is promised for every lane of a graph, in the order of the file.
pub fn guarantees(graph: &Graph, delivery: Delivery) -> Vec<Guarantee> {
    let mut all = Vec::new();
    for (index, source) in graph.nodes.iter().enumerate().filter(|(_, node)| node.kind() == Kind::Source) {
        let paths = paths_from(graph, index);
        let sinks =
            graph.nodes.iter().zip(paths).filter(|(node, paths)| node.kind() == Kind::Sink && *paths > 0);
        for (sink, paths) in sinks {
            let (promise, reason) = lane(source, sink, paths, delivery);
            all.push(Guarantee { source: source.name.clone(), sink: sink.name.clone(), promise, reason });
        }
    }
    all
}

fn lane(source: &Node, sink: &Node, paths: usize, delivery: Delivery) -> (Promise, Option<String>) {
    let name = &source.name;
    match replay(source) {
        Replay::Never => {
            let reason = format!("`{name}` cannot read again what it has read");
            (Promise::AtMostOnce, Some(reason))
        }
        Replay::Redelivery => {
            let reason = format!("`{name}` gets again what was not acknowledged, in any order");
            (Promise::AtLeastOnce, Some(reason))
        }
        Replay::Position => match hindrance(sink, paths) {
            None if delivery == Delivery::EffectivelyOnce => (Promise::EffectivelyOnce, None),
            None => {
                let reason = "`delivery = \"effectively_once\"` in [pipeline] would make it effectively once";
                (Promise::AtLeastOnce, Some(reason.to_owned()))
            }
            Some(reason) => (Promise::AtLeastOnce, Some(reason)),
        },
    }
}

fn replay(source: &Node) -> Replay {
    match source.build() {
        Ok(Component::Source(source)) => source.replay(),
        _ => Replay::Never,
    }
}

/// What keeps a sink from storing the record of a lane with its events.
fn hindrance(sink: &Node, paths: usize) -> Option<String> {
    let name = &sink.name;
    if let Ok(Component::Sink(built)) = sink.build()
        && let Err(reason) = built.transactional()
    {
        return Some(format!("`{name}` ({}): {reason}", sink.plugin.name()));
    }
    if sink.engine.concurrency > 1 {
        return Some(format!("`{name}` has `concurrency` over 1, so its writes have no order"));
    }
    if !sink.engine.required {
        return Some(format!("`{name}` has `required = false`, so events may pass it by"));
    }
    if paths > 1 {
        return Some(format!(
            "events reach `{name}` on {paths} ways from the same source, so they have no order there; give each way a sink of its own"
        ));
    }
    None
}

/// On how many ways the events of a source can reach each component.
fn paths_from(graph: &Graph, source: usize) -> Vec<usize> {
    let mut paths = vec![0_usize; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        paths[index] = match index == source {
            true => 1,
            false => node.inputs.iter().fold(0, |sum, input| sum.saturating_add(paths[input.node])),
        };
    }
    paths
}
