//! What can be seen of running pipelines: for the live lines, the summary, the metrics and the health checks.

use std::sync::Arc;
use std::time::Duration;

use tidegate_sdk::{Kind, Metric};

/// A graph as it is at one moment.
#[derive(Clone, Debug)]
pub struct GraphStatus {
    /// The pipeline's name; `NAME/COMPONENT` with the first component's name where the file holds several
    /// graphs.
    pub name: String,
    /// What it is doing.
    pub state: GraphState,
    /// Its components, each behind those that feed it.
    pub components: Vec<ComponentStatus>,
    /// Bytes read and not yet settled.
    pub in_flight_bytes: u64,
    /// Events read and not yet settled.
    pub in_flight_events: u64,
    /// How many times it was restarted after a failure.
    pub restarts: u64,
    /// How long it has run: until it was over, or until now.
    pub ran: Duration,
}

/// What a graph is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphState {
    /// It runs (single components may still be waiting for their servers).
    Running,
    /// It finishes what is in flight.
    Draining,
    /// It failed, for this reason, and starts anew soon.
    Restarting(String),
    /// It is over.
    Over(End),
}

/// How a graph ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The input ended and everything was delivered.
    Ended,
    /// It was asked to stop and delivered what it had read.
    Drained,
    /// It failed, for this reason.
    Failed(String),
    /// The drain took too long.
    DeadlinePassed {
        /// Events that were read and not delivered.
        undelivered: u64,
        /// How many of these the next run reads again, because their source knows its place.
        replayed: u64,
    },
}

/// A component as it is at one moment.
#[derive(Clone, Debug)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The plugin's name.
    pub plugin: String,
    /// Whether it can do its work.
    pub health: Health,
    /// What it has done since the process started.
    pub counts: Counts,
    /// The queue in front of it, if there is one.
    pub queue: Option<Queue>,
    /// How far a source with an end is: done and total, in a unit of its own.
    pub progress: Option<(u64, u64)>,
    /// How long its batches took in it (for a source: from read to settled).
    pub latency: Latency,
    /// Metrics that it makes of its events.
    pub user_metrics: Vec<Arc<Metric>>,
}

/// Whether a component can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not been opened yet.
    Starting,
    /// It works.
    Ready,
    /// It tries again, for this reason.
    Waiting(String),
    /// Somebody must change something outside: this.
    Unhealthy(String),
    /// It does nothing more until the process is restarted, for this reason.
    Blocked(String),
    /// Its work is over.
    Ended,
}

/// What a component has done.
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
    /// How many of these are kept as dead letters.
    pub dead_letters: u64,
    /// Tries that failed and were repeated.
    pub retried: u64,
    /// Events that passed by a sink that is not required.
    pub skipped: u64,
    /// Events that came to a sink and had been done by another process of the source's group before.
    pub elsewhere: u64,
    /// Events that were dropped because their client is gone.
    pub cancelled: u64,
    /// Time spent waiting for something to come.
    pub waited_upstream: Duration,
    /// Time spent waiting for what comes next to take something.
    pub waited_downstream: Duration,
}

/// The queue in front of a component.
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
    /// How many fell into each bucket; one more than there are bounds.
    pub counts: Vec<u64>,
    /// Their sum, in seconds times 10^-6.
    pub sum_micros: u64,
}
