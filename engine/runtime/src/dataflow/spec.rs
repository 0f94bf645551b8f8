//! Specification of one graph: everything that stays the same across its restarts.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tidegate_config::{Graph, Settings};
use tokio_util::sync::CancellationToken;

use crate::dataflow::dead_letter_writer::DeadLetterWriter;
use crate::dataflow::state_handoff::{SavedStates, StateOutbox};
use crate::delivery::budget::MemoryBudget;
use crate::metrics::component::ComponentMetrics;

/// What stays the same when a graph is started anew.
pub(crate) struct Spec {
    pub(crate) graph: Graph,
    pub(crate) settings: Settings,
    /// The id of the pipeline.
    pub(crate) id: Arc<str>,
    /// Whether sinks are to forget their records first: until the first run has begun.
    pub(crate) start_over: AtomicBool,
    /// The folder of the pipeline's state.
    pub(crate) folder: PathBuf,
    /// One for each component.
    pub(crate) component_metrics: Vec<Arc<ComponentMetrics>>,
    pub(crate) budget: MemoryBudget,
    pub(crate) dead_letter_writer: DeadLetterWriter,
    /// Cancelled when the graph drains.
    pub(crate) stopping: CancellationToken,
    /// What the filters of the first run begin with.
    pub(crate) inherited_states: Mutex<Option<SavedStates>>,
    /// What they leave.
    pub(crate) state_outbox: Arc<StateOutbox>,
}

impl Spec {
    /// The same for another life of the graph, after this one is over.
    pub(crate) fn restarted(&self) -> Self {
        let stopping = CancellationToken::new();
        Self {
            graph: self.graph.clone(),
            settings: self.settings.clone(),
            id: Arc::clone(&self.id),
            start_over: AtomicBool::new(false),
            folder: self.folder.clone(),
            component_metrics: self.component_metrics.clone(),
            budget: self.budget.clone(),
            dead_letter_writer: self.dead_letter_writer.until(&stopping),
            stopping,
            inherited_states: Mutex::default(),
            state_outbox: Arc::default(),
        }
    }

    /// The same after graphs that have left this.
    pub(crate) fn inheriting(self, state: SavedStates) -> Self {
        Self { inherited_states: Mutex::new(Some(state)), ..self }
    }
}
