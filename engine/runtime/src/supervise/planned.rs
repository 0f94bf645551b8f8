//! Planned graphs: the specifications of checked pipelines.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tidegate_config::{Graph, Node, Pipeline};
use tidegate_sdk::Kind;
use tokio_util::sync::CancellationToken;

use crate::dataflow::dead_letter_writer::{DeadLetterWriter, Relabel};
use crate::dataflow::spec::Spec;
use crate::delivery::budget::MemoryBudget;
use crate::metrics::component::ComponentMetrics;
use crate::supervise::options::Options;
use crate::supervise::pipeline_dir::PipelineDirs;

/// A graph to run.
pub(crate) struct PlannedGraph {
    pub(crate) name: String,
    pub(crate) spec: Spec,
}

/// Plans every graph of these pipelines, each with an equal share of the memory. All of them have a data folder.
/// `relabel` changes dead letters before they are kept.
pub(crate) fn plan(
    pipelines: Vec<Pipeline>,
    dirs: &PipelineDirs,
    options: &Options,
    relabel: Option<&Relabel>,
) -> Vec<PlannedGraph> {
    let graphs = pipelines.iter().map(|pipeline| pipeline.graphs.len()).sum::<usize>();
    let share = options.memory.as_usize() / graphs.max(1);
    let mut planned = Vec::new();
    for pipeline in pipelines {
        let Some(dir) = dirs.get(&pipeline.id) else { continue };
        let count = pipeline.graphs.len().max(1);
        let own = pipeline.settings.memory.map_or(usize::MAX, |memory| memory.as_usize() / count);
        for graph in pipeline.graphs {
            let name = if count == 1 {
                pipeline.name.clone()
            } else {
                format!("{}/{}", pipeline.name, graph.nodes.first().map_or("", |node| &node.name))
            };
            let component_metrics = component_metrics(&graph);
            let sources =
                graph.nodes.iter().zip(&component_metrics).filter(|(node, _)| node.kind() == Kind::Source);
            let sources = sources.map(|(_, metrics)| Arc::clone(metrics)).collect();
            let stopping = CancellationToken::new();
            let dead_letter_writer =
                DeadLetterWriter::new(&dir.store, pipeline.settings.dead_letters, sources, &stopping);
            let spec = Spec {
                component_metrics,
                graph,
                settings: pipeline.settings.clone(),
                id: pipeline.id.as_str().into(),
                start_over: AtomicBool::new(false),
                folder: dir.folder.clone(),
                budget: MemoryBudget::new(share.min(own)),
                dead_letter_writer: match relabel {
                    Some(relabel) => dead_letter_writer.relabelling(Arc::clone(relabel)),
                    None => dead_letter_writer,
                },
                stopping,
                inherited_states: Mutex::default(),
                state_outbox: Arc::default(),
            };
            planned.push(PlannedGraph { name, spec });
        }
    }
    planned
}

fn component_metrics(graph: &Graph) -> Vec<Arc<ComponentMetrics>> {
    let metrics = |node: &Node| Arc::new(ComponentMetrics::new(&node.name, node.kind(), node.plugin.name()));
    graph.nodes.iter().map(metrics).collect()
}
