//! Engine: starts, observes, replaces and stops pipelines.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, MutexGuard};
use tidegate_config::Pipeline;
use tidegate_sdk::Tasks;

use crate::dataflow::dead_letter_writer::Relabel;
use crate::metrics::status::GraphStatus;
use crate::supervise::graph::GraphSupervisor;
use crate::supervise::options::Options;
use crate::supervise::pipeline_dir::{PipelineDir, PipelineDirs, dirs, start_over};
use crate::supervise::planned::{PlannedGraph, plan};
use crate::supervise::start_error::StartError;

/// Engine that runs pipelines side by side.
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) tasks: Tasks,
    /// Held by a reload, so that there is one at a time.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    running: Mutex<Running>,
}

/// The graphs that run, and the folders of their pipelines.
pub(crate) struct Running {
    pub(crate) graphs: Vec<Arc<GraphSupervisor>>,
    pub(crate) dirs: PipelineDirs,
    /// True if the engine drains, and starts no graph any more.
    pub(crate) is_draining: bool,
}

impl Engine {
    /// Starts every graph of these pipelines. Has to be called within a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// If a data folder cannot be created, or another process holds it.
    pub fn start(pipelines: Vec<Pipeline>, options: &Options) -> Result<Self, StartError> {
        let dirs = dirs(&pipelines, &PipelineDirs::new(), &options.data_dir)?;
        if options.start_over {
            start_over(&pipelines, &dirs)?;
        }
        let planned = plan(pipelines, &dirs, options, None);
        for graph in &planned {
            graph.spec.start_over.store(options.start_over, Ordering::Relaxed);
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
        let supervised = |planned: PlannedGraph| Arc::new(GraphSupervisor::new(planned.name, planned.spec));
        let graphs: Vec<_> = planned.into_iter().map(supervised).collect();
        let tasks = Tasks::new();
        for graph in &graphs {
            tasks.spawn(Arc::clone(graph).supervise());
        }
        let running = Mutex::new(Running { graphs, dirs, is_draining: false });
        Self { options: options.clone(), tasks, reloading: tokio::sync::Mutex::default(), running }
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock()
    }

    /// Status of every graph.
    pub fn status(&self) -> Vec<GraphStatus> {
        let graphs = self.running().graphs.clone();
        graphs.iter().map(|graph| graph.status()).collect()
    }

    /// Asks every graph to deliver what was read and to stop. The drain timeout starts now.
    pub fn drain(&self) {
        let mut running = self.running();
        running.is_draining = true;
        running.graphs.iter().for_each(|graph| graph.drain());
    }

    /// Waits until every graph is over.
    pub async fn finished(&self) {
        self.tasks.joined().await;
    }

    /// Stops every graph at once. Events in flight count as not delivered.
    pub fn abort(&self) {
        let mut running = self.running();
        running.is_draining = true;
        running.graphs.iter().for_each(|graph| graph.abort());
    }
}
