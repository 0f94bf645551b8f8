//! The keys that belong to the engine: of every component, of `[pipeline]` and of `[plugins]`.
//!
//! The structs are their manual, their check and their defaults at once.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{Duration, Isolation, Kind, Size};

use crate::topology::{BatchOptions, DeadLetterOptions, Delivery, OnReject, RetryOptions, Settings};

/// Keys of every component.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct EveryKeys {
    /// The plugin: what this component is. `tidegate plugins` lists them.
    #[schemars(extend("examples" = ["stdout"]))]
    #[allow(dead_code, reason = "the registry has answered it already; it is here for the manual")]
    pub(crate) plugin: String,
    /// Whether the component takes part. A disabled one is as if it were not in the file: what stands below it
    /// without a `from` of its own is fed by the component above it.
    #[serde(default = "yes")]
    #[allow(dead_code, reason = "disabled components are left out before; it is here for the manual")]
    pub(crate) enabled: bool,
    /// Where the component runs. `inline`: within the engine, called like what is built in. `thread`: within the
    /// engine, on a thread of its own, so that one that blocks or computes for long holds nobody up. `process`: in a
    /// process of its own, so that one that crashes takes nobody with it; it is started anew, and given again what it
    /// has not answered for. Plugins that are built in run inline. Those from shared libraries do too, unless the
    /// library asks for a process.
    #[serde(default)]
    pub(crate) isolation: Option<Isolation>,
    /// How long one call of a plugin from a shared library may take before it counts as hung and is started anew: 60s
    /// unless something else is said. Inline nobody can end a call, so there it has no effect.
    #[serde(default)]
    #[schemars(extend("examples" = ["5s"], "x-at-least" = "1ms", "x-at-most" = "1h"))]
    pub(crate) call_time: Option<Duration>,
    /// What happens to an event that cannot be processed: it is kept in the dead-letter store with the reason
    /// (`dead_letter`), counted and dropped (`drop`), or the pipeline fails (`stop`). A client that waits for the
    /// answer to its request gets its event back with the reason, so that is kept only if `dead_letter` is written
    /// here; and no event of a client makes the pipeline fail.
    #[serde(default)]
    #[schemars(extend("default" = "dead_letter"))]
    pub(crate) on_reject: Option<OnReject>,
}

/// What feeds a filter or sink.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct FromKeys {
    /// What feeds the component: the name of another, or a list of names. Left out, it is the component written
    /// just above. A named output is `"route.errors"`; what a component rejected is `"parse.rejected"`.
    #[serde(default)]
    #[schemars(extend("examples" = ["users"]))]
    #[allow(dead_code, reason = "read with its places; it is here for the manual")]
    pub(crate) from: Option<From>,
}

/// One name or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "read with its places; it is here for the manual")]
pub(crate) enum From {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// Keys of filters.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FilterKeys {
    /// How many instances of the filter work at once. By default what `[pipeline]` says, or 1.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<usize>,
    /// Whether events leave a filter that works on several batches at once (because of `workers`, or by itself) in the
    /// order in which they came. If not, a batch goes on as soon as it is done, so one that takes long holds up no
    /// other; each event still comes exactly once. What is effectively once by position needs the order. Requests
    /// that wait for an answer of their own go on as soon as they are done in any case.
    pub(crate) order: bool,
    /// How a filter tries a batch again after a failure, such as that of a server that it asks: the pauses grow from
    /// `base` to `cap` by doubling, each drawn at random up to that.
    pub(crate) retry: RetryOptions,
}

impl Default for FilterKeys {
    fn default() -> Self {
        Self { workers: None, order: true, retry: RetryOptions::default() }
    }
}

/// Keys of sinks.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SinkKeys {
    /// How the batches are cut that the sink writes at once.
    pub(crate) batch: BatchOptions,
    /// How a failed write is tried again: the pauses grow from `base` to `cap` by doubling, each drawn at random
    /// up to that, `attempts` times or for ever.
    pub(crate) retry: RetryOptions,
    /// How many writes may be under way at once. Over 1, the order of events is not kept.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) concurrency: usize,
    /// Whether events wait for this sink. If not, they pass it by when it is behind.
    pub(crate) required: bool,
}

impl Default for SinkKeys {
    fn default() -> Self {
        Self {
            batch: BatchOptions::default(),
            retry: RetryOptions::default(),
            concurrency: 1,
            required: true,
        }
    }
}

/// Keys of `[pipeline]`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PipelineKeys {
    /// The name under which the pipeline is shown. By default the file's name without its ending.
    #[schemars(extend("examples" = ["active-users"]))]
    pub(crate) name: Option<String>,
    /// The name of the folder that holds the pipeline's state: checkpoints and dead letters. By default the name.
    #[schemars(extend("examples" = ["active-users"]))]
    pub(crate) id: Option<String>,
    /// What is promised across crashes: that nothing is lost (`at_least_once`), or also that nothing comes
    /// twice (`effectively_once`).
    pub(crate) delivery: Delivery,
    /// How many instances of each filter work at once, where the filter itself does not say.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<usize>,
    /// How many bytes of events may be in flight, if less than the process allows.
    #[schemars(extend("examples" = ["64MiB"], "x-at-least" = "64KiB"))]
    pub(crate) memory: Option<Size>,
    /// The longest payload that may become an event. A longer one becomes a dead letter. By default 16MiB, or
    /// `memory` if that is less.
    #[schemars(extend("examples" = ["16MiB"], "x-at-least" = "1KiB", "x-at-most" = "1GiB"))]
    pub(crate) event_size: Option<Size>,
    /// How long a drain may take before what is left is given up.
    #[serde(default = "drain_timeout")]
    #[schemars(extend("x-at-most" = "1d"))]
    pub(crate) drain_timeout: Duration,
    /// How much may become dead letters before a graph stops, so that a mistake in the pipeline does not drain
    /// the input into them. What rejects then waits, unready, with the reason, and with it what feeds it: nothing
    /// is lost, and nothing more is kept. Mend the cause and start again, or allow more. A graph whose sources
    /// all have an end that is known (a file read once, not standard input) fails in place of waiting: exit
    /// code 1.
    pub(crate) dead_letters: DeadLetterOptions,
}

/// Keys of `[plugins]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginsKeys {
    /// Shared libraries with plugins: each a path, or a path with the SHA-256 that the file must have. A path with a
    /// `/` in it is relative to the pipeline file; a bare name is looked for in the folders of `TIDEGATE_PLUGIN_PATH`.
    /// A plugin of a library takes the place of a built-in one of the same kind and name.
    #[serde(default)]
    #[schemars(extend("examples" = [["./libgeo.so"]]))]
    #[allow(dead_code, reason = "read with its places; it is here for the manual")]
    pub(crate) libraries: Vec<Library>,
}

/// A path, or a path with what the file must hash to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Library {
    Path(String),
    Checked {
        /// The file.
        path: String,
        /// What it must hash to, in hexadecimal digits.
        sha256: String,
    },
}

fn yes() -> bool {
    true
}

fn drain_timeout() -> Duration {
    Settings::default().drain_timeout
}

/// The schema of the engine's keys on a component of this kind.
pub(crate) fn component_schema(kind: Kind) -> Value {
    let mut whole = schema::<EveryKeys>();
    let more = match kind {
        Kind::Source => Vec::new(),
        Kind::Filter => vec![schema::<FromKeys>(), schema::<FilterKeys>()],
        Kind::Sink => vec![schema::<FromKeys>(), schema::<SinkKeys>()],
    };
    for part in more {
        for section in ["properties", "$defs"] {
            let Some(entries) = part[section].as_object() else { continue };
            for (name, entry) in entries {
                whole[section][name] = entry.clone();
            }
        }
    }
    whole
}

/// The schema of the keys of `[pipeline]`.
pub(crate) fn pipeline_schema() -> Value {
    schema::<PipelineKeys>()
}

/// The schema of the keys of `[plugins]`.
pub(crate) fn plugins_schema() -> Value {
    schema::<PluginsKeys>()
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
