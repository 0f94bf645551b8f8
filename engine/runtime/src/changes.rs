//! What a reload changes: the graphs that run beside the graphs that are to run. Pure: nothing is started or
//! stopped here.

use std::sync::Arc;

use tidegate_config::Node;

use crate::graph::{Spec, Supervised};
use crate::status::End;

/// A graph that is to run.
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) spec: Spec,
}

/// What is to become of every graph.
pub(crate) struct Changes {
    /// The graphs that are to run, in their order.
    pub(crate) fates: Vec<Fate>,
    /// Those that run and have no successor.
    pub(crate) removed: Vec<Arc<Supervised>>,
}

/// What is to become of one graph that is to run.
pub(crate) enum Fate {
    /// It runs already, just like this.
    Untouched(Arc<Supervised>),
    /// It is to be started.
    Starts(Box<Start>),
}

/// A graph that is to be started.
pub(crate) struct Start {
    pub(crate) planned: Planned,
    /// The graphs that it takes the place of: they have to be over first. None if it is new.
    pub(crate) before: Vec<Arc<Supervised>>,
    /// Whether these can run again if this one does not start: they ran, and nothing else has taken any part
    /// of them.
    pub(crate) may_return: bool,
}

impl Changes {
    /// What it takes to get from `running` to `planned`.
    pub(crate) fn new(running: &[Arc<Supervised>], planned: Vec<Planned>) -> Self {
        let mut left: Vec<Arc<Supervised>> = running.to_vec();
        let matched: Vec<(Planned, Option<Arc<Supervised>>)> = planned
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
                fates.push(Fate::Untouched(graph));
                continue;
            }
            let places: Vec<usize> =
                (0..left.len()).filter(|place| overlap(left[*place].spec(), &planned.spec)).collect();
            places.iter().for_each(|place| successors[*place] += 1);
            let before: Vec<_> = places.iter().map(|place| Arc::clone(&left[*place])).collect();
            keep_counting(&mut planned.spec, &before);
            fates.push(Fate::Starts(Box::new(Start { planned, before, may_return: false })));
        }
        let is_shared = |graph: &Arc<Supervised>| {
            left.iter().zip(&successors).any(|(one, count)| *count > 1 && Arc::ptr_eq(one, graph))
        };
        for fate in &mut fates {
            if let Fate::Starts(start) = fate {
                start.may_return = !start.before.is_empty()
                    && start.before.iter().all(|graph| graph.end().is_none() && !is_shared(graph));
            }
        }
        let removed = left.iter().zip(&successors).filter(|(_, count)| **count == 0);
        let removed = removed.map(|(graph, _)| Arc::clone(graph)).collect();
        Self { fates, removed }
    }

    /// The graphs that others take the place of, each once.
    pub(crate) fn replaced(&self) -> Vec<Arc<Supervised>> {
        let mut replaced: Vec<Arc<Supervised>> = Vec::new();
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
            Fate::Starts(start) => Some(&**start),
            Fate::Untouched(_) => None,
        })
    }
}

/// Whether the graph is what is planned, and has not failed. Another try is worth while for one that has: what
/// made it fail may have been put right.
fn runs_already(graph: &Supervised, planned: &Planned) -> bool {
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
fn keep_counting(spec: &mut Spec, before: &[Arc<Supervised>]) {
    for (meter, node) in spec.meters.iter_mut().zip(&spec.graph.nodes) {
        let mut known = before.iter().flat_map(|graph| &graph.spec().meters);
        if let Some(known) = known.find(|known| known.is_of(&node.name, node.kind(), node.plugin.name())) {
            *meter = Arc::clone(known);
        }
    }
}
