//! Changes of a reload: compares the running graphs with the planned ones. Pure: starts and stops nothing.

use std::sync::Arc;

use tidegate_config::Node;

use crate::dataflow::spec::Spec;
use crate::metrics::status::End;
use crate::supervise::graph::GraphSupervisor;
use crate::supervise::planned::PlannedGraph;

/// Changes of all graphs.
pub(crate) struct Changes {
    /// Transitions to the planned graphs, in their order.
    pub(crate) transitions: Vec<Transition>,
    /// Running graphs without a successor.
    pub(crate) removed: Vec<Arc<GraphSupervisor>>,
}

/// Transition to one planned graph.
pub(crate) enum Transition {
    /// The graph runs already, unchanged.
    Untouched(Arc<GraphSupervisor>),
    /// The graph has to be started.
    Starts(Box<Start>),
}

/// A graph to start.
pub(crate) struct Start {
    pub(crate) planned: PlannedGraph,
    /// The graphs that it replaces, which have to be over first. Empty for a new graph.
    pub(crate) before: Vec<Arc<GraphSupervisor>>,
    /// True if the replaced graphs can run again if this one does not start: they ran, and no other graph replaces a part of
    /// them.
    pub(crate) may_return: bool,
}

impl Changes {
    /// Compares `running` with `planned`.
    pub(crate) fn new(running: &[Arc<GraphSupervisor>], planned: Vec<PlannedGraph>) -> Self {
        let mut left: Vec<Arc<GraphSupervisor>> = running.to_vec();
        let matched: Vec<(PlannedGraph, Option<Arc<GraphSupervisor>>)> = planned
            .into_iter()
            .map(|planned| {
                let same = left.iter().position(|graph| runs_already(graph, &planned));
                (planned, same.map(|index| left.remove(index)))
            })
            .collect();
        let mut successors = vec![0; left.len()];
        let mut transitions = Vec::new();
        for (mut planned, same) in matched {
            if let Some(graph) = same {
                transitions.push(Transition::Untouched(graph));
                continue;
            }
            let places: Vec<usize> =
                (0..left.len()).filter(|place| overlap(left[*place].spec(), &planned.spec)).collect();
            places.iter().for_each(|place| successors[*place] += 1);
            let before: Vec<_> = places.iter().map(|place| Arc::clone(&left[*place])).collect();
            keep_counting(&mut planned.spec, &before);
            transitions.push(Transition::Starts(Box::new(Start { planned, before, may_return: false })));
        }
        let is_shared = |graph: &Arc<GraphSupervisor>| {
            left.iter().zip(&successors).any(|(one, count)| *count > 1 && Arc::ptr_eq(one, graph))
        };
        for transition in &mut transitions {
            if let Transition::Starts(start) = transition {
                start.may_return = !start.before.is_empty()
                    && start.before.iter().all(|graph| graph.end().is_none() && !is_shared(graph));
            }
        }
        let removed = left.iter().zip(&successors).filter(|(_, count)| **count == 0);
        let removed = removed.map(|(graph, _)| Arc::clone(graph)).collect();
        Self { transitions, removed }
    }

    /// The graphs that are replaced, each once.
    pub(crate) fn replaced(&self) -> Vec<Arc<GraphSupervisor>> {
        let mut replaced: Vec<Arc<GraphSupervisor>> = Vec::new();
        for start in self.starts() {
            for graph in &start.before {
                if !replaced.iter().any(|known| Arc::ptr_eq(known, graph)) {
                    replaced.push(Arc::clone(graph));
                }
            }
        }
        replaced
    }

    /// The graphs to start.
    pub(crate) fn starts(&self) -> impl Iterator<Item = &Start> {
        self.transitions.iter().filter_map(|transition| match transition {
            Transition::Starts(start) => Some(&**start),
            Transition::Untouched(_) => None,
        })
    }
}

/// Returns whether the planned graph runs already. A graph that has failed is started again: the cause may be fixed.
fn runs_already(graph: &GraphSupervisor, planned: &PlannedGraph) -> bool {
    let (running, spec) = (graph.spec(), &planned.spec);
    let (old, new) = (&running.graph.nodes, &spec.graph.nodes);
    running.folder == spec.folder
        && running.settings == spec.settings
        && pipeline(graph.name()) == pipeline(&planned.name)
        && old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| old.is_same(new))
        && !matches!(graph.end(), Some(End::Failed(_)))
}

/// The pipeline's part of a graph's name. The other part depends on the number of graphs in the file, and an unchanged graph
/// keeps its name.
fn pipeline(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Returns whether both have a component of one name, which means shared positions.
fn overlap(running: &Spec, planned: &Spec) -> bool {
    let names = |node: &Node| planned.graph.nodes.iter().any(|other| other.name == node.name);
    running.folder == planned.folder && running.graph.nodes.iter().any(names)
}

/// Keeps the counters of components that stay.
fn keep_counting(spec: &mut Spec, before: &[Arc<GraphSupervisor>]) {
    for (metrics, node) in spec.component_metrics.iter_mut().zip(&spec.graph.nodes) {
        let mut known = before.iter().flat_map(|graph| &graph.spec().component_metrics);
        if let Some(known) = known.find(|known| known.is_of(&node.name, node.kind(), node.plugin.name())) {
            *metrics = Arc::clone(known);
        }
    }
}
