//! The delivery guarantee of each lane (a source and a sink that its events reach), and the reason why it is not higher.

use tidegate_sdk::{Kind, Replay};

use crate::keys::Delivery;
use crate::topology::{Graph, Node};

/// A level of delivery across crashes. While the process runs, no event is lost on any lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuaranteeLevel {
    /// No event is lost, and none is delivered twice.
    EffectivelyOnce,
    /// No event is lost; after a crash some may be delivered twice.
    AtLeastOnce,
    /// Events in flight are lost when the process is killed.
    AtMostOnce,
}

impl GuaranteeLevel {
    /// The level in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EffectivelyOnce => "effectively once",
            Self::AtLeastOnce => "at least once",
            Self::AtMostOnce => "at most once across a crash",
        }
    }
}

/// The guarantee of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// Name of the source.
    pub source: String,
    /// Name of the sink.
    pub sink: String,
    /// The level.
    pub level: GuaranteeLevel,
    /// The reason why it is not higher. `None` for the highest level.
    pub reason: Option<String>,
}

/// The guarantees of all lanes of a graph, in the order of the file.
pub fn guarantees(graph: &Graph, delivery: Delivery) -> Vec<Guarantee> {
    let reach = reach(graph);
    let mut all = Vec::new();
    for (source, reached) in &reach {
        let sinks = sinks_of(graph, reached);
        for (sink, paths) in &sinks {
            let others: Vec<&Node> = reach
                .iter()
                .filter(|(other, reached)| *other != *source && reached[*sink] > 0)
                .map(|(other, _)| &graph.nodes[*other])
                .collect();
            let unordered = unordered(graph, reached, *sink);
            let (from, to) = (&graph.nodes[*source], &graph.nodes[*sink]);
            let lane = Lane { source: from, sink: to, paths: *paths, unordered, others };
            let (level, reason) = lane.level(sinks.len(), delivery);
            let (source, sink) = (lane.source.name.clone(), lane.sink.name.clone());
            all.push(Guarantee { source, sink, level, reason });
        }
    }
    all
}

/// A source and a sink that its events reach.
struct Lane<'g> {
    source: &'g Node,
    sink: &'g Node,
    /// The number of paths between them.
    paths: usize,
    /// A filter between them that does not keep the order.
    unordered: Option<&'g Node>,
    /// The other sources whose events reach the sink.
    others: Vec<&'g Node>,
}

impl Lane<'_> {
    fn level(&self, sinks: usize, delivery: Delivery) -> (GuaranteeLevel, Option<String>) {
        let name = &self.source.name;
        let (obstacle, most) = match self.source.capabilities.replay {
            Replay::Never => {
                return (
                    GuaranteeLevel::AtMostOnce,
                    Some(format!("`{name}` cannot read again what it has read")),
                );
            }
            Replay::Redelivery => {
                let order = format!("in no order: `{name}` gets its entries as one of a group");
                let obstacle = self.sink_acknowledges(sinks);
                (
                    obstacle
                        .map(|reason| format!("`{name}` gets again what was not acknowledged, and {reason}")),
                    Some(order),
                )
            }
            Replay::Position => (self.by_position(), None),
        };
        match (obstacle, delivery) {
            (None, Delivery::EffectivelyOnce) => (GuaranteeLevel::EffectivelyOnce, most),
            (None, Delivery::AtLeastOnce) => {
                let reason = "`delivery = \"effectively_once\"` in [pipeline] would make it effectively once";
                (GuaranteeLevel::AtLeastOnce, Some(reason.to_owned()))
            }
            (Some(reason), _) => (GuaranteeLevel::AtLeastOnce, Some(reason)),
        }
    }

    /// The reason why the sink cannot store the record of the lane with its events.
    fn by_position(&self) -> Option<String> {
        let (name, paths) = (&self.sink.name, self.paths);
        if let Err(reason) = &self.sink.capabilities.transactional {
            return Some(format!("`{name}` ({}): {reason}", self.sink.plugin.name()));
        }
        if self.sink.engine.concurrency > 1 {
            return Some(format!("`{name}` has `concurrency` over 1, so its writes have no order"));
        }
        if paths > 1 {
            return Some(format!(
                "events reach `{name}` on {paths} paths from the same source, so they have no order there; give each path a sink of its own"
            ));
        }
        if let Some(filter) = self.unordered {
            return Some(format!(
                "`{0}` has `order = false`, so events reach `{name}` in no order",
                filter.name
            ));
        }
        self.is_passed_by().or_else(|| self.mixed(Replay::Redelivery))
    }

    /// The reason why the sink cannot acknowledge the entries of the source in the transaction of their events.
    fn sink_acknowledges(&self, sinks: usize) -> Option<String> {
        let (name, plugin) = (&self.sink.name, self.sink.plugin.name());
        let domain = match &self.source.capabilities.transaction_domain {
            Ok(domain) => domain,
            Err(reason) => return Some(reason.clone()),
        };
        match &self.sink.capabilities.transaction_domain {
            Err(reason) => return Some(format!("`{name}` ({plugin}): {reason}")),
            Ok(other) if other != domain => {
                return Some(format!(
                    "acknowledges in {domain}, while `{name}` writes to {other}: one step needs one place, given \
                     in the same words"
                ));
            }
            Ok(_) => {}
        }
        if sinks > 1 {
            return Some(format!(
                "what it gets reaches {sinks} sinks, but is acknowledged once, with the writes of one; let a second \
                 group read the stream for the other"
            ));
        }
        if self.sink.engine.retry.attempts.is_some() {
            return Some(format!(
                "`{name}` has `retry.attempts`, so it may give up what was written while the answer was lost"
            ));
        }
        self.is_passed_by().or_else(|| self.mixed(Replay::Position))
    }

    fn is_passed_by(&self) -> Option<String> {
        let name = &self.sink.name;
        (!self.sink.engine.required)
            .then(|| format!("`{name}` has `required = false`, so events may pass it by"))
    }

    /// A sink stores positions or acknowledges entries, not both.
    fn mixed(&self, wrong: Replay) -> Option<String> {
        let other = self.others.iter().find(|other| other.capabilities.replay == wrong)?;
        Some(format!(
            "`{}` also takes events of `{}`, which is read again in another way; give it a sink of its own",
            self.sink.name, other.name
        ))
    }
}

/// The sources, each with the number of paths to every component.
pub(crate) fn reach(graph: &Graph) -> Vec<(usize, Vec<usize>)> {
    let sources = graph.nodes.iter().enumerate().filter(|(_, node)| node.kind() == Kind::Source);
    sources.map(|(index, _)| (index, paths_from(graph, index))).collect()
}

/// The sinks that are reached, each with the number of paths.
pub(crate) fn sinks_of(graph: &Graph, paths: &[usize]) -> Vec<(usize, usize)> {
    let reached = paths.iter().copied().enumerate().filter(|(_, paths)| *paths > 0);
    reached.filter(|(index, _)| graph.nodes[*index].kind() == Kind::Sink).collect()
}

/// The first filter on the paths to `sink` whose workers do not keep the order. `reached` has the paths of the source.
fn unordered<'g>(graph: &'g Graph, reached: &[usize], sink: usize) -> Option<&'g Node> {
    let leads_there = |index| reached[index] > 0 && paths_from(graph, index)[sink] > 0;
    let mut nodes = graph.nodes.iter().enumerate();
    nodes.find(|(index, node)| mixes(node) && leads_there(*index)).map(|(_, node)| node)
}

/// Returns true if events leave a filter in another order.
fn mixes(node: &Node) -> bool {
    let capabilities = &node.capabilities;
    !node.engine.order && (capabilities.at_once > 1 || (node.engine.workers > 1 && capabilities.forks))
}

/// The number of paths from a component to every component.
fn paths_from(graph: &Graph, from: usize) -> Vec<usize> {
    let mut paths = vec![0_usize; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        paths[index] = if index == from {
            1
        } else {
            node.inputs.iter().fold(0, |sum, input| sum.saturating_add(paths[input.node]))
        };
    }
    paths
}
