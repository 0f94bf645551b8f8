//! What a reload changes: the graphs that run beside the graphs that are to run. Pure: nothing is started or
//! stopped here.

use std::sync::Arc;

use tidegate_config::Node;

use crate::dataflow::spec::Spec;
use crate::metrics::status::End;
use crate::supervise::graph::GraphSupervisor;
use crate::supervise::planned::PlannedGraph;

/// What is to become of every graph.
pub(crate) struct Changes {
    /// The graphs that are to run, in their order.
    pub(crate) fates: Vec<Transition>,
    /// Those that run and have no successor.
    pub(crate) removed: Vec<Arc<GraphSupervisor>>,
}

/// What is to become of one graph that is to run.
pub(crate) enum Transition {
    /// It runs already, just like this.
    Untouched(Arc<GraphSupervisor>),
    /// It is to be started.
    Starts(Box<Start>),
}

/// A graph that is to be started.
pub(crate) struct Start {
    pub(crate) planned: PlannedGraph,
    /// The graphs that it takes the place of: they have to be over first. None if it is new.
    pub(crate) before: Vec<Arc<GraphSupervisor>>,
    /// Whether these can run again if this one does not start: they ran, and nothing else has taken any part
    /// of them.
    pub(crate) may_return: bool,
}

impl Changes {
    /// What it takes to get from `running` to `planned`.
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
        let mut fates = Vec::new();
        for (mut planned, same) in matched {
            if let Some(graph) = same {
                fates.push(Transition::Untouched(graph));
                continue;
            }
            let places: Vec<usize> =
                (0..left.len()).filter(|place| overlap(left[*place].spec(), &planned.spec)).collect();
            places.iter().for_each(|place| successors[*place] += 1);
            let before: Vec<_> = places.iter().map(|place| Arc::clone(&left[*place])).collect();
            keep_counting(&mut planned.spec, &before);
            fates.push(Transition::Starts(Box::new(Start { planned, before, may_return: false })));
        }
        let is_shared = |graph: &Arc<GraphSupervisor>| {
            left.iter().zip(&successors).any(|(one, count)| *count > 1 && Arc::ptr_eq(one, graph))
        };
        for fate in &mut fates {
            if let Transition::Starts(start) = fate {
                start.may_return = !start.before.is_empty()
                    && start.before.iter().all(|graph| graph.end().is_none() && !is_shared(graph));
            }
        }
        let removed = left.iter().zip(&successors).filter(|(_, count)| **count == 0);
        let removed = removed.map(|(graph, _)| Arc::clone(graph)).collect();
        Self { fates, removed }
    }

    /// The graphs that others take the place of, each once.
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

    /// The graphs that are to be started.
    pub(crate) fn starts(&self) -> impl Iterator<Item = &Start> {
        self.fates.iter().filter_map(|fate| match fate {
            Transition::Starts(start) => Some(&**start),
            Transition::Untouched(_) => None,
        })
    }
}

/// Whether the graph is what is planned, and has not failed. Another try is worth while for one that has: what
/// made it fail may have been put right.
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

/// The pipeline's part of a graph's name. The other part depends on how many graphs the file holds, and a
/// graph keeps the name that it has as long as it is not touched.
fn pipeline(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Whether the two hold components of one name, which share their positions.
fn overlap(running: &Spec, planned: &Spec) -> bool {
    let names = |node: &Node| planned.graph.nodes.iter().any(|other| other.name == node.name);
    running.folder == planned.folder && running.graph.nodes.iter().any(names)
}

/// Components that stay go on counting where they are.
fn keep_counting(spec: &mut Spec, before: &[Arc<GraphSupervisor>]) {
    for (metrics, node) in spec.component_metrics.iter_mut().zip(&spec.graph.nodes) {
        let mut known = before.iter().flat_map(|graph| &graph.spec().component_metrics);
        if let Some(known) = known.find(|known| known.is_of(&node.name, node.kind(), node.plugin.name())) {
            *metrics = Arc::clone(known);
        }
    }
}
