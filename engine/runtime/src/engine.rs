//! The front door: start pipelines, look at them, replace them, stop them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_config::{Graph, Node, Pipeline};
use tidegate_sdk::{Kind, Size, Tasks};
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::changes::Planned;
use crate::dead_letters::{Ledger, Letterbox, SharedStore};
use crate::graph::{Spec, Supervised};
use crate::home::{Home, Homes, homes, start_over};
use crate::meter::Meter;
use crate::status::GraphStatus;

/// What a process gives to all its pipelines.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of checkpoints and dead letters; one folder in it per pipeline id.
    pub data_dir: PathBuf,
    /// How many bytes may be in flight in all pipelines together. Each graph has an equal share of it, so
    /// that none can take what another needs.
    pub memory: Size,
    /// Forget every position, and every record that an effectively-once sink keeps: begin anew, on purpose.
    pub start_over: bool,
}

/// Pipelines that run side by side.
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) tasks: Tasks,
    /// Held by a reload, so that there is one at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
    running: Mutex<Running>,
}

/// What runs.
pub(crate) struct Running {
    pub(crate) graphs: Vec<Arc<Supervised>>,
    pub(crate) homes: Homes,
    /// Nothing is started any more.
    pub(crate) is_draining: bool,
}

impl Engine {
    /// Starts every graph of these pipelines. To be called within a tokio runtime of several threads.
    ///
    /// # Errors
    /// If a data folder cannot be made, or another process holds it.
    pub fn start(pipelines: Vec<Pipeline>, options: &Options) -> Result<Self, StartError> {
        let homes = homes(&pipelines, &Homes::new(), &options.data_dir)?;
        if options.start_over {
            start_over(&pipelines, &homes)?;
        }
        let planned = plan(pipelines, &homes, options, None);
        for one in &planned {
            one.spec.afresh.store(options.start_over, Ordering::Relaxed);
        }
        Ok(Self::run(planned, homes, options))
    }

    /// Starts the part of a pipeline that a replay runs, whose state is held already.
    pub(crate) fn replay(
        pipeline: Pipeline,
        lock: File,
        store: &SharedStore,
        ledger: &Arc<Ledger>,
        options: &Options,
    ) -> Self {
        let home = Home::held(options.data_dir.join(&pipeline.id), lock, store);
        let homes: Homes = [(pipeline.id.clone(), Arc::new(home))].into();
        let planned = plan(vec![pipeline], &homes, options, Some(ledger));
        Self::run(planned, homes, options)
    }

    fn run(planned: Vec<Planned>, homes: Homes, options: &Options) -> Self {
        let supervised = |one: Planned| Arc::new(Supervised::new(one.name, one.spec));
        let graphs: Vec<_> = planned.into_iter().map(supervised).collect();
        let tasks = Tasks::new();
        for graph in &graphs {
            tasks.spawn(Arc::clone(graph).supervise());
        }
        let running = Mutex::new(Running { graphs, homes, is_draining: false });
        Self { options: options.clone(), tasks, turn: tokio::sync::Mutex::default(), running }
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every graph as it is now.
    pub fn status(&self) -> Vec<GraphStatus> {
        let graphs = self.running().graphs.clone();
        graphs.iter().map(|graph| graph.status()).collect()
    }

    /// Asks every graph to finish what is in flight and stop. The drain deadline counts from now.
    pub fn drain(&self) {
        let mut running = self.running();
        running.is_draining = true;
        running.graphs.iter().for_each(|graph| graph.drain());
    }

    /// Waits until every graph is over. May be called while others look at [`status`](Self::status).
    pub async fn finished(&self) {
        self.tasks.joined().await;
    }

    /// Ends everything at once: what is in flight counts as not delivered.
    pub fn abort(&self) {
        let mut running = self.running();
        running.is_draining = true;
        running.graphs.iter().for_each(|graph| graph.abort());
    }
}

/// Every graph of these pipelines, with an equal share of the memory for each. All of them have a home. With
/// a `ledger`, they replay its dead letters.
pub(crate) fn plan(
    pipelines: Vec<Pipeline>,
    homes: &Homes,
    options: &Options,
    ledger: Option<&Arc<Ledger>>,
) -> Vec<Planned> {
    let graphs = pipelines.iter().map(|pipeline| pipeline.graphs.len()).sum::<usize>();
    let share = options.memory.as_usize() / graphs.max(1);
    let mut planned = Vec::new();
    for pipeline in pipelines {
        let Some(home) = homes.get(&pipeline.id) else { continue };
        let count = pipeline.graphs.len().max(1);
        let own = pipeline.settings.memory.map_or(usize::MAX, |memory| memory.as_usize() / count);
        for graph in pipeline.graphs {
            let name = match count {
                1 => pipeline.name.clone(),
                _ => format!("{}/{}", pipeline.name, graph.nodes.first().map_or("", |node| &node.name)),
            };
            let meters = meters(&graph);
            let sources = graph.nodes.iter().zip(&meters).filter(|(node, _)| node.kind() == Kind::Source);
            let sources = sources.map(|(_, meter)| Arc::clone(meter)).collect();
            let stopping = CancellationToken::new();
            let letterbox = Letterbox::new(&home.store, pipeline.settings.dead_letters, sources, &stopping);
            let spec = Spec {
                meters,
                graph,
                settings: pipeline.settings.clone(),
                id: pipeline.id.as_str().into(),
                afresh: AtomicBool::new(false),
                folder: home.folder.clone(),
                budget: Budget::new(share.min(own)),
                letterbox: match ledger {
                    Some(ledger) => letterbox.replaying(Arc::clone(ledger)),
                    None => letterbox,
                },
                stopping,
                before: Mutex::default(),
                saving: Arc::default(),
            };
            planned.push(Planned { name, spec });
        }
    }
    planned
}

fn meters(graph: &Graph) -> Vec<Arc<Meter>> {
    let meter = |node: &Node| Arc::new(Meter::new(&node.name, node.kind(), node.plugin.name()));
    graph.nodes.iter().map(meter).collect()
}

/// Why pipelines could not be started.
#[derive(Debug)]
pub struct StartError {
    /// The pipeline's name.
    pub pipeline: String,
    /// What went wrong, with the path.
    pub message: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "pipeline `{}`: {}", self.pipeline, self.message)
    }
}

impl std::error::Error for StartError {}
