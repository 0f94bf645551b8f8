//! Plugins that come from a shared library, as the engine sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Component, ConfigError, Duration, Kind, Plugin};

/// Where a component runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In the engine, called like what is built in.
    #[default]
    Inline,
    /// In the engine, on a thread of its own.
    Thread,
    /// In a process of its own.
    Process,
}

/// Where a component of a library runs, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where.
    pub isolation: Isolation,
    /// How long one call may take before the component counts as hung. Inline nobody can end a call, so there
    /// it has no effect.
    pub call_time: Duration,
}

impl Placement {
    /// The default of [`call_time`](Self::call_time).
    pub const CALL_TIME: Duration = Duration(std::time::Duration::from_secs(60));
}

impl Default for Placement {
    fn default() -> Self {
        Self { isolation: Isolation::default(), call_time: Self::CALL_TIME }
    }
}

/// What a library says of one of its plugins.
#[derive(Clone, Debug)]
pub struct Manual {
    /// What it is.
    pub kind: Kind,
    /// Its name in a pipeline file.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// A piece of a pipeline file that uses it.
    pub sample: String,
    /// The JSON Schema (2020-12) of its options.
    pub schema: Value,
}

/// A shared library that holds plugins.
pub trait Library: Send + Sync {
    /// What it is called, with its version and its file: `geo 1.2.0 (./libgeo.so)`.
    fn title(&self) -> &str;

    /// The same exactly if the library is: the hash of its file.
    fn identity(&self) -> &str;

    /// Builds a component of one of its plugins, from options that fit the schema.
    ///
    /// # Errors
    /// As [`Plugin::build`].
    fn build(
        &self,
        plugin: &Plugin,
        options: &Value,
        placement: &Placement,
    ) -> Result<Component, ConfigError>;
}
