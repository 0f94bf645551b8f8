//! Status of running pipelines: for the live lines, the summary, the metrics and the health checks.

use std::sync::Arc;
use std::time::Duration;

use tidegate_sdk::{Kind, Metric};

/// Status of one graph.
#[derive(Clone, Debug)]
pub struct GraphStatus {
    /// The pipeline's name; `NAME/COMPONENT` with the first component's name where the file holds several
    /// graphs.
    pub name: String,
    /// The state it is in.
    pub state: GraphState,
    /// Its components, each after those upstream of it.
    pub components: Vec<ComponentStatus>,
    /// Bytes that were read and have not ended.
    pub in_flight_bytes: u64,
    /// Events that were read and have not ended.
    pub in_flight_events: u64,
    /// Number of restarts after a failure.
    pub restarts: u64,
    /// Running time: until the end, or until now.
    pub ran: Duration,
}

/// State of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphState {
    /// Running. Single components may be waiting for their servers.
    Running,
    /// Draining: finishes what is in flight.
    Draining,
    /// Failed for this reason, and restarts soon.
    Restarting(String),
    /// Over.
    Over(End),
}

/// End of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The input ended and everything was delivered.
    Ended,
    /// The graph was asked to stop and delivered what it had read.
    Drained,
    /// The graph failed, for this reason.
    Failed(String),
    /// The graph was stopped before everything that it had read was delivered.
    CutShort {
        /// The reason.
        cause: StopCause,
        /// The events that were not delivered.
        undelivered: Undelivered,
    },
}

/// Reason why a graph stopped before it had delivered everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The drain took longer than `drain_timeout`.
    DrainTimeout,
    /// A second request to stop, or a reload that did not wait any longer.
    Abort,
    /// A component could not deliver what it had been given, for this reason.
    Undeliverable(String),
}

/// Events that were read and not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// All of them.
    pub events: u64,
    /// Those that the next run reads again, because their source keeps its position.
    pub replayed: u64,
    /// Those whose client waits for an answer and gets an error.
    pub unanswered: u64,
}

impl Undelivered {
    /// Events that are neither read again nor known to their client as failed.
    pub fn lost(&self) -> u64 {
        self.events.saturating_sub(self.replayed).saturating_sub(self.unanswered)
    }
}

/// Status of one component.
#[derive(Clone, Debug)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Source, filter or sink.
    pub kind: Kind,
    /// The plugin's name.
    pub plugin: String,
    /// Its health.
    pub health: Health,
    /// Its counters since the process started.
    pub counts: Counts,
    /// The queue upstream of it, if there is one.
    pub queue: Option<Queue>,
    /// Progress of a source with an end: done and total, in a unit of its own.
    pub progress: Option<(u64, u64)>,
    /// Latency of its batches (for a source: from read to ended).
    pub latency: Latency,
    /// Metrics that it makes of its events.
    pub user_metrics: Vec<Arc<Metric>>,
}

/// Health of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not opened yet.
    Starting,
    /// Working.
    Ready,
    /// Retrying, for this reason.
    Waiting(String),
    /// Needs a change outside the engine, for this reason.
    Unhealthy(String),
    /// Stopped until the process restarts, for this reason.
    Blocked(String),
    /// Finished.
    Ended,
}

/// Counters of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that came in.
    pub events_in: u64,
    /// Payload bytes that came in.
    pub bytes_in: u64,
    /// Events that went out; for a sink, that were delivered.
    pub events_out: u64,
    /// Payload bytes that went out.
    pub bytes_out: u64,
    /// Events that could not be processed.
    pub rejected: u64,
    /// Those of the rejected events that are kept as dead letters.
    pub dead_letters: u64,
    /// Failed tries that were repeated.
    pub retried: u64,
    /// Events that a sink which is not required did not take.
    pub skipped: u64,
    /// Events that another process of the source's group had done before.
    pub elsewhere: u64,
    /// Events that were dropped because their client is gone.
    pub cancelled: u64,
    /// Time spent waiting for input.
    pub waited_upstream: Duration,
    /// Time spent waiting for downstream.
    pub waited_downstream: Duration,
}

/// The queue upstream of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes it may hold.
    pub capacity: u64,
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Upper bound of each bucket but the last, which has none, in seconds.
    pub bounds: &'static [f64],
    /// Count of each bucket; one more than there are bounds.
    pub counts: Vec<u64>,
    /// Their sum, in seconds times 10^-6.
    pub sum_micros: u64,
}
