//! The checked graph: what a pipeline file says, with every name resolved.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{Capabilities, Component, ConfigError, Duration, Kind, Plugin, Port, Size};

/// A pipeline file that may run.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The path of the file as it was given.
    pub file: String,
    /// `[pipeline] name`, or the file's stem.
    pub name: String,
    /// `[pipeline] id`, or the name: the folder of its state.
    pub id: String,
    /// The rest of `[pipeline]`.
    pub settings: Settings,
    /// The graphs of the file that do not touch one another, in the order of their first component. Each
    /// runs, drains and fails by itself.
    pub graphs: Vec<Graph>,
}

/// What `[pipeline]` sets for every component.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is promised across crashes.
    pub delivery: Delivery,
    /// How many bytes may be in flight, if less than the process allows.
    pub memory: Option<Size>,
    /// The longest payload that may become an event.
    pub event_size: Size,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How much may become dead letters before a graph stops.
    pub dead_letters: DeadLetterOptions,
}

/// What is promised across crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Nothing is lost; after a crash something may come twice.
    #[default]
    AtLeastOnce,
    /// Nothing is lost, nothing comes twice.
    EffectivelyOnce,
}

/// Components that are connected.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The components; each stands behind those that feed it.
    pub nodes: Vec<Node>,
}

/// One component: a configured use of a plugin.
#[derive(Clone)]
pub struct Node {
    /// Its name, unique in the file.
    pub name: String,
    /// The plugin.
    pub plugin: Plugin,
    /// The plugin's own options, as JSON that fits its schema. Holds secrets: never shown.
    pub options: Value,
    /// What feeds it. Empty for a source.
    pub inputs: Vec<Input>,
    /// The names of its outputs 1 and up.
    pub outputs: Vec<String>,
    /// The engine's options for it.
    pub engine: EngineOptions,
    /// Its capabilities, asked once when it was built to check it.
    pub capabilities: Arc<Capabilities>,
}

impl Node {
    /// Source, filter or sink.
    pub fn kind(&self) -> Kind {
        self.plugin.kind()
    }

    /// Builds the component to run it. Questions about it are answered by its [capabilities](Self::capabilities).
    ///
    /// # Errors
    /// As [`Plugin::build`]; not after [`crate::load`] has built it once.
    pub fn build(&self) -> Result<Component, ConfigError> {
        self.plugin.build(&self.options)
    }

    /// Whether the other is the same component, configured in the same way: the same plugin with the same
    /// options. What feeds it and the engine's options may differ.
    pub fn is_built_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind() == other.kind()
            && self.plugin.is_same(&other.plugin)
            && self.options == other.options
    }

    /// Whether the other is the same in everything.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_built_like(other)
            && self.inputs == other.inputs
            && self.outputs == other.outputs
            && self.engine == other.engine
    }
}

/// Everything but the options, which hold secrets.
impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Node")
            .field("name", &self.name)
            .field("plugin", &self.plugin)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// One thing that feeds a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Index of the feeding component in [`Graph::nodes`].
    pub node: usize,
    /// Which of its outputs.
    pub output: OutputName,
}

/// Which output of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputName {
    /// The main output (0), or a named one.
    Port(Port),
    /// What the component rejected: `NAME.rejected`.
    Rejected,
}

/// The keys that belong to the engine on every component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// What happens to an event that cannot be processed; `None` if the pipeline file does not say.
    pub on_reject: Option<OnReject>,
    /// How many instances of a filter work at once.
    pub workers: usize,
    /// Whether events leave these in the order in which they came.
    pub order: bool,
    /// How a sink's batches are cut.
    pub batch: BatchOptions,
    /// How a sink or an async filter tries again.
    pub retry: RetryOptions,
    /// How many writes of a sink may be under way at once. Over 1, order is not kept.
    pub concurrency: usize,
    /// Whether events wait for this sink. If not, they pass it by when it is behind.
    pub required: bool,
}

/// What happens to an event that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// It is kept in the dead-letter store, with the reason.
    #[default]
    DeadLetter,
    /// It is counted and forgotten.
    Drop,
    /// The pipeline fails; but not for an event that a client has sent to a source that serves requests.
    Stop,
}

/// How much may become dead letters before a graph stops: a mistake in a pipeline must not drain its input into
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterOptions {
    /// How much of the last 10,000 events that reached a component may be dead letters of it: 0.01 is one in a
    /// hundred, so 100 of them. An input that is shorter than 10,000 events counts as if it were that long: a
    /// small file with a few bad lines does not stop. 0 is no limit.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// How many dead letters the components of a graph may make within a minute, together. 0 is no limit.
    pub per_minute: u64,
    /// How many bytes of dead letters are kept for the whole pipeline. When there are that many, whatever
    /// rejects waits until some are removed. 0 is no limit.
    pub size: Size,
}

/// How a sink's batches are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchOptions {
    /// Events in one write, at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub events: usize,
    /// Payload bytes in one write, at most; one event may be larger.
    #[schemars(extend("x-at-least" = "1B", "x-at-most" = "1GiB"))]
    pub bytes: Size,
    /// How long to wait for a batch to fill. None by default: what is there is written.
    #[schemars(extend("x-at-most" = "1h"))]
    pub linger: Duration,
}

/// How a failed write is tried again: pauses grow from `base` by doubling up to `cap`, and the actual pause
/// is drawn evenly from zero to that (full jitter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOptions {
    /// The longest first pause.
    #[schemars(extend("x-at-least" = "1ms", "x-at-most" = "1d"))]
    pub base: Duration,
    /// The longest pause.
    #[schemars(extend("x-at-least" = "1ms", "x-at-most" = "1d"))]
    pub cap: Duration,
    /// How many tries before the events are rejected; left out, for ever.
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery: Delivery::AtLeastOnce,
            memory: None,
            event_size: Size(16 << 20),
            drain_timeout: Duration::seconds(25),
            dead_letters: DeadLetterOptions::default(),
        }
    }
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        Self { share: 0.01, per_minute: 100, size: Size(1 << 30) }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            on_reject: None,
            workers: 1,
            order: true,
            batch: BatchOptions::default(),
            retry: RetryOptions::default(),
            concurrency: 1,
            required: true,
        }
    }
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { events: 8192, bytes: Size(1 << 20), linger: Duration::default() }
    }
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { base: Duration::millis(100), cap: Duration::seconds(30), attempts: None }
    }
}
