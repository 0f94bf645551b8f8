//! The engine's keys: of every component, of `[pipeline]` and of `[plugins]`.
//!
//! A key is one field. Its doc comment is the manual (`tidegate plugins show`, the editor's description), its type and
//! attributes are the check, and [`Default`] is the default. `x-kinds` limits a key to some kinds of component.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_sdk::{Duration, Isolation, Kind, Size};

/// Keys of a component that are used while the file is loaded.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct ComponentKeys {
    /// The plugin of this component. `tidegate plugins` lists them.
    #[schemars(extend("examples" = ["stdout"]))]
    #[allow(dead_code, reason = "the registry is asked before; the field is here for the manual")]
    pub(crate) plugin: String,
    /// Enables the component. A disabled one counts as if it were not in the file: a component below it without a
    /// `from` is fed by the component above it.
    #[serde(default = "yes")]
    #[allow(dead_code, reason = "disabled components are left out before; the field is here for the manual")]
    pub(crate) enabled: bool,
    /// The name of the upstream component, or a list of names. By default it is the component written just above. A
    /// named output is `"route.errors"`; the rejected events of a component are `"parse.rejected"`.
    #[serde(default)]
    #[schemars(extend("examples" = ["users"], "x-kinds" = ["filter", "sink"]))]
    #[allow(dead_code, reason = "read with its places; the field is here for the manual")]
    pub(crate) from: Option<FromKey>,
    /// The place where the component runs. `inline`: within the engine, called like a built-in plugin. `thread`: within
    /// the engine, on a thread of its own, so that a call that blocks or computes for long delays no other component.
    /// `process`: in a child process, so that a crash ends only the child. The child is restarted and gets the events
    /// again that it has not acknowledged. Built-in plugins run inline. Plugins of shared libraries do too, unless the
    /// library asks for a process.
    #[serde(default)]
    pub(crate) isolation: Option<Isolation>,
    /// The longest time for one call of a plugin from a shared library. A longer call counts as hung and its thread or
    /// process is restarted. By default 60s. Without effect for `inline`, where a call cannot be ended.
    #[serde(default)]
    #[schemars(extend("examples" = ["5s"], "x-at-least" = "1ms", "x-at-most" = "1h"))]
    pub(crate) call_time: Option<Duration>,
}

impl Default for ComponentKeys {
    fn default() -> Self {
        Self { plugin: String::new(), enabled: yes(), from: None, isolation: None, call_time: None }
    }
}

/// A name, or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "read with its places; the fields are here for the manual")]
pub(crate) enum FromKey {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// Keys of a component that are used while the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EngineOptions {
    /// The fate of an event that cannot be processed: the dead-letter store keeps it with the reason (`dead_letter`), it
    /// is counted and dropped (`drop`), or the pipeline fails (`stop`). A client that waits for the response to its
    /// request gets its event back with the reason, so such an event is a dead letter only if `dead_letter` is written
    /// here. The event of a client never makes the pipeline fail.
    #[schemars(extend("default" = "dead_letter"))]
    pub on_reject: Option<OnReject>,
    /// The number of instances of the filter that work at the same time. By default the number in `[pipeline]`, or 1.
    #[schemars(range(min = 1, max = 256), extend("x-kinds" = ["filter"]))]
    pub workers: usize,
    /// Keeps the order of events in a filter that works on several batches at once. Without it, each batch is passed on
    /// as soon as it is done, so a slow batch delays no other; each event still leaves exactly once. Effectively-once
    /// delivery by position needs the order. Requests that wait for a response of their own are always passed on as
    /// soon as they are done.
    #[schemars(extend("x-kinds" = ["filter"]))]
    pub order: bool,
    /// The limits of a sink's batches.
    #[schemars(extend("x-kinds" = ["sink"]))]
    pub batch: BatchOptions,
    /// The pauses and attempts after a failure of a sink, or of a filter that asks a server: pauses grow from `base` to
    /// `cap` by doubling, and each is drawn at random up to that. Without `attempts`, the component retries for ever.
    #[schemars(extend("x-kinds" = ["filter", "sink"]))]
    pub retry: RetryOptions,
    /// The number of writes of a sink that may be in flight at the same time. Above 1, the order of events is not kept.
    #[schemars(range(min = 1, max = 256), extend("x-kinds" = ["sink"]))]
    pub concurrency: usize,
    /// Makes events wait for this sink. Without it, events pass the sink by while it lags.
    #[schemars(extend("x-kinds" = ["sink"]))]
    pub required: bool,
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

/// The fate of an event that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// The dead-letter store keeps it, with the reason.
    #[default]
    DeadLetter,
    /// The event is counted and dropped.
    Drop,
    /// The pipeline fails, except for an event that a client has sent to a source that serves requests.
    Stop,
}

/// The limits of a sink's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchOptions {
    /// The largest number of events in one write.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub events: usize,
    /// The largest number of payload bytes in one write. A single event may be larger.
    #[schemars(extend("x-at-least" = "1B", "x-at-most" = "1GiB"))]
    pub bytes: Size,
    /// The longest wait for a batch to fill. By default there is none: the events that have arrived are written.
    #[schemars(extend("x-at-most" = "1h"))]
    pub linger: Duration,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { events: 8192, bytes: Size(1 << 20), linger: Duration::default() }
    }
}

/// The pauses and attempts after a failure. A pause grows from `base` by doubling up to `cap`, and the actual pause is
/// drawn evenly from zero to that (full jitter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOptions {
    /// The longest first pause.
    #[schemars(extend("x-at-least" = "1ms", "x-at-most" = "1d"))]
    pub base: Duration,
    /// The longest pause.
    #[schemars(extend("x-at-least" = "1ms", "x-at-most" = "1d"))]
    pub cap: Duration,
    /// The number of attempts before the events are rejected. By default there is no limit.
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { base: Duration::millis(100), cap: Duration::seconds(30), attempts: None }
    }
}

/// Keys of `[pipeline]` that are used while the file is loaded.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PipelineKeys {
    /// The name of the pipeline in messages and metrics. By default the name of the file without its extension.
    #[schemars(extend("examples" = ["active-users"]))]
    pub(crate) name: Option<String>,
    /// The name of the folder that holds the state of the pipeline: checkpoints and dead letters. By default the name.
    #[schemars(extend("examples" = ["active-users"]))]
    pub(crate) id: Option<String>,
    /// The number of instances of each filter that work at the same time, where the filter itself does not say.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<usize>,
}

/// Keys of `[pipeline]` that are used while the pipeline runs.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The delivery guarantee across crashes: no event is lost (`at_least_once`), or also none is delivered twice
    /// (`effectively_once`).
    pub delivery: Delivery,
    /// The most bytes of events in flight, if less than the process allows.
    #[schemars(extend("examples" = ["64MiB"], "x-at-least" = "64KiB"))]
    pub memory: Option<Size>,
    /// The longest payload that may become an event. A longer one becomes a dead letter. By default 16MiB, or `memory`
    /// if that is less.
    #[schemars(extend("examples" = ["16MiB"], "x-at-least" = "1KiB", "x-at-most" = "1GiB"))]
    pub event_size: Size,
    /// The longest time for a drain. Events that are left then are given up.
    #[schemars(extend("x-at-most" = "1d"))]
    pub drain_timeout: Duration,
    /// The number of dead letters that stops a graph, so that a mistake in the pipeline does not drain the input into
    /// them. The rejecting component then pauses with everything upstream, and `/readyz` gives the reason: no event is
    /// lost, and no more are kept. Fix the cause and start again, or allow more. A graph whose sources all have a known
    /// end (a file read once, not standard input) fails instead: exit code 1.
    pub dead_letters: DeadLetterOptions,
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

/// The delivery guarantee across crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No event is lost; after a crash some may be delivered twice.
    #[default]
    AtLeastOnce,
    /// No event is lost, and none is delivered twice.
    EffectivelyOnce,
}

/// The number of dead letters that stops a graph.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterOptions {
    /// The largest share of dead letters among the last 10,000 events that reached a component: 0.01 is one in a
    /// hundred, so 100 of them. A shorter input counts as 10,000 events: a small file with a few bad lines does not
    /// stop. 0 is no limit.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// The largest number of dead letters within a minute from all components of a graph. 0 is no limit.
    pub per_minute: u64,
    /// The most bytes of dead letters that are kept for the whole pipeline. At the limit, a component that rejects
    /// pauses until some are removed. 0 is no limit.
    pub size: Size,
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        Self { share: 0.01, per_minute: 100, size: Size(1 << 30) }
    }
}

/// Keys of `[plugins]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginsKeys {
    /// Shared libraries with plugins: each a path, or a path with the SHA-256 that the file must have. A path with a `/`
    /// in it is relative to the pipeline file; a bare name is searched in the folders of `TIDEGATE_PLUGIN_PATH`. A plugin
    /// of a library replaces a built-in one of the same kind and name.
    #[serde(default)]
    #[schemars(extend("examples" = [["./libgeo.so"]]))]
    #[allow(dead_code, reason = "read with its places; the field is here for the manual")]
    pub(crate) libraries: Vec<Library>,
}

/// A path, or a path with the hash of the file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Library {
    Path(String),
    Checked {
        /// The file.
        path: String,
        /// The SHA-256 that the file must have, in hexadecimal digits.
        sha256: String,
    },
}

fn yes() -> bool {
    true
}

/// The schema of the engine's keys on a component of this kind.
pub(crate) fn component_schema(kind: Kind) -> Value {
    let mut schema = merged(schema::<ComponentKeys>(), &schema::<EngineOptions>());
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|_, key| {
            let kinds = key.as_object_mut().and_then(|key| key.shift_remove("x-kinds"));
            kinds
                .is_none_or(|kinds| kinds.as_array().is_some_and(|kinds| kinds.contains(&kind.name().into())))
        });
    }
    schema
}

/// The schema of the keys of `[pipeline]`.
pub(crate) fn pipeline_schema() -> Value {
    let mut schema = merged(schema::<PipelineKeys>(), &schema::<Settings>());
    schema["additionalProperties"] = json!(false);
    schema
}

/// The schema of the keys of `[plugins]`.
pub(crate) fn plugins_schema() -> Value {
    schema::<PluginsKeys>()
}

/// The keys of both structs in one schema.
fn merged(mut first: Value, second: &Value) -> Value {
    for section in ["properties", "$defs"] {
        for (name, entry) in second[section].as_object().into_iter().flatten() {
            first[section][name] = entry.clone();
        }
    }
    first
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
