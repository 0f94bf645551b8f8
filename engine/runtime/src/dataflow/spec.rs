//! Specification of one graph: everything that stays the same across its restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tidegate_config::{Graph, Settings};
use tokio_util::sync::CancellationToken;

use crate::dataflow::dead_letter_writer::DeadLetterWriter;
use crate::dataflow::state_handoff::{SavedStates, StateOutbox};
use crate::delivery::budget::MemoryBudget;
use crate::metrics::component::ComponentMetrics;

/// Specification of one graph.
pub(crate) struct Spec {
    pub(crate) graph: Graph,
    pub(crate) settings: Settings,
    /// The id of the pipeline.
    pub(crate) id: Arc<str>,
    /// True if sinks forget their records. Cleared when the first run has begun.
    pub(crate) start_over: AtomicBool,
    /// The folder of the pipeline's state.
    pub(crate) folder: PathBuf,
    /// A for each component.
    pub(crate) component_metrics: Vec<Arc<ComponentMetrics>>,
    pub(crate) budget: MemoryBudget,
    pub(crate) dead_letter_writer: DeadLetterWriter,
    /// Cancelled when the graph drains.
    pub(crate) stopping: CancellationToken,
    /// The states that the filters of the first run restore.
    pub(crate) inherited_states: Mutex<Option<SavedStates>>,
    /// The states that the filters save for a successor.
    pub(crate) state_outbox: Arc<StateOutbox>,
}

impl Spec {
    /// Copies the specification for another start of the graph, after this one is over.
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

    /// Sets the states that the filters inherit from predecessors of the graph.
    pub(crate) fn inheriting(self, states: SavedStates) -> Self {
        Self { inherited_states: Mutex::new(Some(states)), ..self }
    }
}
