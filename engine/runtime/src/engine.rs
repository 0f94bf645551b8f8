//! The front door: start pipelines, look at them, stop them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tidegate_config::{Graph, Pipeline};
use tidegate_sdk::{Size, Tasks};
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::checkpoint::Checkpoint;
use crate::dead_letters::{self, Store};
use crate::graph::{Spec, Supervised};
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
    graphs: Vec<Arc<Supervised>>,
    tasks: Tasks,
    /// Held open, and with that locked, as long as the pipelines run.
    _locks: Vec<File>,
}

impl Engine {
    /// Starts every graph of these pipelines. To be called within a tokio runtime of several threads.
    ///
    /// # Errors
    /// If a data folder cannot be made, or another process holds it.
    pub fn start(pipelines: Vec<Pipeline>, options: &Options) -> Result<Self, StartError> {
        let graphs = pipelines.iter().map(|pipeline| pipeline.graphs.len()).sum::<usize>();
        let share = options.memory.as_usize() / graphs.max(1);
        let mut engine = Self { graphs: Vec::new(), tasks: Tasks::new(), _locks: Vec::new() };
        for pipeline in pipelines {
            engine.add(pipeline, options, share)?;
        }
        for graph in &engine.graphs {
            engine.tasks.spawn(Arc::clone(graph).supervise());
        }
        Ok(engine)
    }

    fn add(&mut self, pipeline: Pipeline, options: &Options, share: usize) -> Result<(), StartError> {
        let problem = |message| StartError { pipeline: pipeline.name.clone(), message };
        let folder = options.data_dir.join(&pipeline.id);
        self._locks.push(lock(&folder).map_err(problem)?);
        if options.start_over {
            start_over(&pipeline, &folder).map_err(problem)?;
        }
        let store = Store::open(dead_letters::folder(&options.data_dir, &pipeline.id))
            .map_err(|error| problem(format!("the dead letters in {}: {error}", folder.display())))?;
        let store = Arc::new(Mutex::new(store));
        let count = pipeline.graphs.len().max(1);
        let own = pipeline.settings.memory.map_or(usize::MAX, |memory| memory.as_usize() / count);
        for graph in pipeline.graphs {
            let name = match count {
                1 => pipeline.name.clone(),
                _ => format!("{}/{}", pipeline.name, graph.nodes.first().map_or("", |node| &node.name)),
            };
            let spec = Spec {
                meters: meters(&graph),
                graph,
                settings: pipeline.settings.clone(),
                id: pipeline.id.as_str().into(),
                afresh: AtomicBool::new(options.start_over),
                folder: folder.clone(),
                budget: Budget::new(share.min(own)),
                store: Arc::clone(&store),
                stopping: CancellationToken::new(),
            };
            self.graphs.push(Arc::new(Supervised::new(name, spec)));
        }
        Ok(())
    }

    /// Every graph as it is now.
    pub fn status(&self) -> Vec<GraphStatus> {
        self.graphs.iter().map(|graph| graph.status()).collect()
    }

    /// Asks every graph to finish what is in flight and stop. The drain deadline counts from now.
    pub fn drain(&self) {
        self.graphs.iter().for_each(|graph| graph.drain());
    }

    /// Waits until every graph is over. May be called while others look at [`status`](Self::status).
    pub async fn finished(&self) {
        self.tasks.joined().await;
    }

    /// Ends everything at once: what is in flight counts as not delivered.
    pub fn abort(&self) {
        self.graphs.iter().for_each(|graph| graph.abort());
    }
}

/// Forgets every position of the pipeline.
fn start_over(pipeline: &Pipeline, folder: &Path) -> Result<(), String> {
    for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
        let cleared = Checkpoint::new(folder, &node.name).clear();
        cleared.map_err(|error| format!("the positions in {}: {error}", folder.display()))?;
    }
    Ok(())
}

fn meters(graph: &Graph) -> Vec<Arc<Meter>> {
    let meter =
        |node: &tidegate_config::Node| Arc::new(Meter::new(&node.name, node.kind(), node.plugin.name()));
    graph.nodes.iter().map(meter).collect()
}

/// Makes the folder of a pipeline's state and holds its lock, so that no two processes write there.
fn lock(folder: &Path) -> Result<File, String> {
    let told = |error: std::io::Error| format!("the data folder {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(told)?;
    let path = folder.join("lock");
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(told(error)),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(format!(
                "another process{} runs this pipeline (it holds {}); stop it first, or give this one another --data-dir",
                Some(holder.trim())
                    .filter(|pid| !pid.is_empty())
                    .map(|pid| format!(" ({pid})"))
                    .unwrap_or_default(),
                path.display()
            ));
        }
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(told)?;
    Ok(file)
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
