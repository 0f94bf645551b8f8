//! The front door: start pipelines, look at them, replace them, stop them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_config::Pipeline;
use tidegate_sdk::Tasks;

use crate::dataflow::dead_letter_writer::Relabel;
use crate::metrics::status::GraphStatus;
use crate::supervise::graph::GraphSupervisor;
use crate::supervise::options::Options;
use crate::supervise::pipeline_dir::{PipelineDir, PipelineDirs, dirs, start_over};
use crate::supervise::planned::{PlannedGraph, plan};
use crate::supervise::start_error::StartError;

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
    pub(crate) graphs: Vec<Arc<GraphSupervisor>>,
    pub(crate) dirs: PipelineDirs,
    /// Nothing is started any more.
    pub(crate) is_draining: bool,
}

impl Engine {
    /// Starts every graph of these pipelines. To be called within a tokio runtime of several threads.
    ///
    /// # Errors
    /// If a data folder cannot be made, or another process holds it.
    pub fn start(pipelines: Vec<Pipeline>, options: &Options) -> Result<Self, StartError> {
        let dirs = dirs(&pipelines, &PipelineDirs::new(), &options.data_dir)?;
        if options.start_over {
            start_over(&pipelines, &dirs)?;
        }
        let planned = plan(pipelines, &dirs, options, None);
        for one in &planned {
            one.spec.start_over.store(options.start_over, Ordering::Relaxed);
        }
        Ok(Self::run(planned, dirs, options))
    }

    /// Starts a pipeline whose data folder is held already. `relabel` changes its dead letters before they are kept.
    pub(crate) fn start_held(
        pipeline: Pipeline,
        dir: PipelineDir,
        relabel: &Relabel,
        options: &Options,
    ) -> Self {
        let dirs: PipelineDirs = [(pipeline.id.clone(), Arc::new(dir))].into();
        let planned = plan(vec![pipeline], &dirs, options, Some(relabel));
        Self::run(planned, dirs, options)
    }

    fn run(planned: Vec<PlannedGraph>, dirs: PipelineDirs, options: &Options) -> Self {
        let supervised = |one: PlannedGraph| Arc::new(GraphSupervisor::new(one.name, one.spec));
        let graphs: Vec<_> = planned.into_iter().map(supervised).collect();
        let tasks = Tasks::new();
        for graph in &graphs {
            tasks.spawn(Arc::clone(graph).supervise());
        }
        let running = Mutex::new(Running { graphs, dirs, is_draining: false });
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
