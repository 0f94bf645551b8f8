//! Reload: replaces pipelines while they run. Unchanged graphs are not touched, and no graph is stopped before everything
//! that can be tried has been tried.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use tidegate_config::{Node, Pipeline};
use tidegate_sdk::Kind;
use tokio::task::block_in_place;

use crate::supervise::changes::{Changes, Start, Transition};
use crate::supervise::engine::Engine;
use crate::supervise::graph::GraphSupervisor;
use crate::supervise::handoff::{opened, retire, saved_states, try_sink};
use crate::supervise::pipeline_dir::{PipelineDirs, dirs};
use crate::supervise::planned::plan;
use crate::supervise::start_error::StartError;

/// Result of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Graphs that replaced others.
    pub changed: usize,
    /// Graphs that are new.
    pub added: usize,
    /// Graphs that ended without a successor.
    pub removed: usize,
    /// Graphs that continue to run unchanged.
    pub untouched: usize,
    /// Graphs that did not start, with the reason and the graph that runs in their place.
    pub failed: Vec<String>,
    /// Events that ended graphs had read and not delivered in time, and that are not read again.
    pub lost: u64,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changed, added, removed, untouched, failed, lost } = self;
        write!(formatter, "{changed} changed, {added} added, {removed} removed, {untouched} untouched")?;
        if *lost > 0 {
            write!(formatter, "; {lost} events were not delivered in time and are lost")?;
        }
        failed.iter().try_for_each(|failure| write!(formatter, "; {failure}"))
    }
}

/// Error of a reload that changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// The pipelines drain or have ended.
    Draining,
    /// A data folder cannot be used.
    Folder(StartError),
    /// A sink that is new or has changed cannot be opened.
    Sink {
        /// The graph's name.
        graph: String,
        /// The sink's name.
        sink: String,
        /// The sink's error.
        reason: String,
    },
    /// The reload crashed.
    Crashed,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => write!(formatter, "the pipelines are draining"),
            Self::Folder(error) => error.fmt(formatter),
            Self::Sink { graph, sink, reason } => {
                write!(formatter, "pipeline `{graph}`: the sink `{sink}` cannot be opened: {reason}")
            }
            Self::Crashed => write!(formatter, "the reload crashed; the log line before this one says where"),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Engine {
    /// Replaces the running pipelines by these. Unchanged graphs are not touched. For the others, data folders are locked and
    /// new sinks are opened first; if that fails, nothing has changed. Then the old graph stops reading and delivers what it
    /// has read, and the new one resumes at its positions. A graph that fails as it starts is replaced by the old one again.
    ///
    /// Concurrent calls run one after the other. Has to be called within a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// If nothing was changed.
    pub async fn reload(self: &Arc<Self>, pipelines: Vec<Pipeline>) -> Result<Reloaded, ReloadError> {
        let engine = Arc::clone(self);
        // A task of the engine, so that the engine is not over between an old graph and a new one.
        let reload = self.tasks.spawn(async move { engine.replace(pipelines).await });
        reload.await.unwrap_or(Err(ReloadError::Crashed))
    }

    async fn replace(self: Arc<Self>, pipelines: Vec<Pipeline>) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let (held, running) = {
            let running = self.running();
            if running.is_draining {
                return Err(ReloadError::Draining);
            }
            (running.dirs.clone(), running.graphs.clone())
        };
        let data_dir = &self.options.data_dir;
        let dirs = block_in_place(|| dirs(&pipelines, &held, data_dir)).map_err(ReloadError::Folder)?;
        let changes = Changes::new(&running, plan(pipelines, &dirs, &self.options, None));
        self.try_sinks(&changes).await?;
        self.running().dirs.extend(dirs.clone());
        Ok(self.apply(changes, dirs).await)
    }

    /// Opens, and closes again, every sink that is new or has changed.
    async fn try_sinks(&self, changes: &Changes) -> Result<(), ReloadError> {
        let mut retry_state = Vec::new();
        for start in changes.starts() {
            let known = |node: &Node| {
                let mut nodes = start.before.iter().flat_map(|graph| &graph.spec().graph.nodes);
                nodes.any(|other| other.is_built_like(node))
            };
            let nodes = start.planned.spec.graph.nodes.iter();
            // An unchanged sink may be down, which is no reason to refuse the other changes.
            for node in nodes.filter(|node| node.kind() == Kind::Sink && !known(node)) {
                let opened = self.tasks.spawn(try_sink(node.clone()));
                retry_state.push((start.planned.name.clone(), node.name.clone(), opened));
            }
        }
        let mut result = Ok(());
        for (graph, sink, opened) in retry_state {
            let opened = opened.await.unwrap_or_else(|_| Err("the plugin panicked".into()));
            if let (Err(reason), Ok(())) = (opened, &result) {
                result = Err(ReloadError::Sink { graph, sink, reason });
            }
        }
        result
    }

    /// Stops and starts graphs, each as soon as possible. From here on only single graphs can be restored.
    async fn apply(self: &Arc<Self>, changes: Changes, dirs: PipelineDirs) -> Reloaded {
        let mut result = Reloaded { removed: changes.removed.len(), ..Reloaded::default() };
        let (removed, replaced) = (changes.removed.clone(), changes.replaced());
        let ending = async {
            let removed = join_all(removed.iter().map(|graph| retire(graph, false)));
            let replaced = join_all(replaced.iter().map(|graph| retire(graph, true)));
            let (removed, replaced) = tokio::join!(removed, replaced);
            removed.into_iter().chain(replaced).sum::<u64>()
        };
        let starting = join_all(changes.transitions.into_iter().map(|transition| async {
            match transition {
                Transition::Untouched(graph) => (None, StartOutcome { graphs: vec![graph], failure: None }),
                Transition::Starts(start) => {
                    (Some(start.before.is_empty()), self.start_one(*start, &removed).await)
                }
            }
        }));
        let (lost, turnouts) = tokio::join!(ending, starting);
        result.lost = lost;
        let mut graphs = Vec::new();
        for (is_new, turnout) in turnouts {
            match is_new {
                None => result.untouched += 1,
                Some(_) if turnout.failure.is_some() => result.failed.extend(turnout.failure),
                Some(true) => result.added += 1,
                Some(false) => result.changed += 1,
            }
            graphs.extend(turnout.graphs);
        }
        let mut running = self.running();
        // Graphs that a drain has stopped meanwhile stay visible: their ends decide the end of the engine.
        if !running.is_draining {
            (running.graphs, running.dirs) = (graphs, dirs);
        }
        result
    }

    /// Starts a graph as soon as the graphs that it replaces are over. A new graph waits for the removed ones: it may be one of
    /// them under another name, and need the same port.
    async fn start_one(&self, start: Start, removed: &[Arc<GraphSupervisor>]) -> StartOutcome {
        let Start { planned, before, may_return } = start;
        for graph in if before.is_empty() { removed } else { &before } {
            graph.over().await;
        }
        let state = saved_states(&before);
        planned.spec.component_metrics.iter().for_each(|metrics| metrics.reset());
        let graph = Arc::new(GraphSupervisor::new(planned.name, planned.spec.inheriting(state.clone())));
        if !self.put(&graph, &before) {
            return StartOutcome { graphs: before, failure: None };
        }
        let Err(reason) = opened(&graph).await else {
            return StartOutcome { graphs: vec![graph], failure: None };
        };
        let name = graph.name();
        if !may_return {
            let failure = format!("`{name}` did not start ({reason})");
            return StartOutcome { graphs: vec![graph], failure: Some(failure) };
        }
        let mut restored = Vec::new();
        for old in before {
            let spec = old.spec().restarted().inheriting(state.clone());
            spec.component_metrics.iter().for_each(|metrics| metrics.reset());
            let old = Arc::new(GraphSupervisor::new(old.name().to_owned(), spec));
            if self.put(&old, std::slice::from_ref(&graph)) {
                restored.push(old);
            }
        }
        StartOutcome {
            graphs: restored,
            failure: Some(format!("`{name}` did not start ({reason}) and runs as before")),
        }
    }

    /// Starts a graph in the place of others. Returns false if the engine drains meanwhile.
    fn put(&self, graph: &Arc<GraphSupervisor>, before: &[Arc<GraphSupervisor>]) -> bool {
        let mut running = self.running();
        if running.is_draining {
            return false;
        }
        let is_before = |one: &Arc<GraphSupervisor>| before.iter().any(|other| Arc::ptr_eq(one, other));
        let place = running.graphs.iter().position(is_before).unwrap_or(running.graphs.len());
        running.graphs.insert(place, Arc::clone(graph));
        running.graphs.retain(|one| !is_before(one));
        self.tasks.spawn(Arc::clone(graph).supervise());
        true
    }
}

/// Outcome of a start: the graphs that run now, and the failure if that is not the planned one.
struct StartOutcome {
    graphs: Vec<Arc<GraphSupervisor>>,
    failure: Option<String>,
}
