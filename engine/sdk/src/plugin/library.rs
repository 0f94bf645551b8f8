//! Plugins that come from a shared library, as the engine sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Component, ConfigError, Duration, Kind, Plugin};

/// The isolation of a component.
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

/// The isolation of a component of a library, and the time limit of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The isolation.
    pub isolation: Isolation,
    /// The time limit of one call, after which the component counts as hung. No effect inline, where a call
    /// cannot be ended.
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

/// The description of a plugin of a library.
#[derive(Clone, Debug)]
pub struct Manual {
    /// The kind of the plugin.
    pub kind: Kind,
    /// Its name in a pipeline file.
    pub name: String,
    /// The purpose of the plugin.
    pub summary: String,
    /// A piece of a pipeline file that uses it.
    pub sample: String,
    /// The JSON Schema (2020-12) of its options.
    pub schema: Value,
}

/// A shared library that holds plugins.
pub trait Library: Send + Sync {
    /// The name of the library with its version and its file: `geo 1.2.0 (./libgeo.so)`.
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
