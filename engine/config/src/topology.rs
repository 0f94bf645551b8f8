//! The checked graph of a pipeline file, with every name resolved.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Capabilities, Component, ConfigError, Kind, Plugin, Port};

use crate::keys::{EngineOptions, Settings};

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
    /// runs, drains and fails on its own.
    pub graphs: Vec<Graph>,
}

/// Components that are connected.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The components, each after those upstream of it.
    pub nodes: Vec<Node>,
}

/// A component: a configured use of a plugin.
#[derive(Clone)]
pub struct Node {
    /// Its name, unique in the file.
    pub name: String,
    /// The plugin.
    pub plugin: Plugin,
    /// The plugin's own options, as JSON that fits its schema. Holds secrets: never shown.
    pub options: Value,
    /// Its inputs. Empty for a source.
    pub inputs: Vec<Input>,
    /// The names of its outputs 1 and up.
    pub outputs: Vec<String>,
    /// The engine's options for it.
    pub engine: EngineOptions,
    /// The capabilities, asked once when the file was loaded.
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
    /// As [`Plugin::build`]. There is none after [`crate::load`] has built it once.
    pub fn build(&self) -> Result<Component, ConfigError> {
        self.plugin.build(&self.options)
    }

    /// Returns true if the other has the same name, plugin and options. Its inputs and the engine's options may differ.
    pub fn is_built_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind() == other.kind()
            && self.plugin.is_same(&other.plugin)
            && self.options == other.options
    }

    /// Returns true if the other is the same in everything.
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

/// An input of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Index of the upstream component in [`Graph::nodes`].
    pub node: usize,
    /// The output of the upstream component.
    pub output: OutputName,
}

/// An output of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputName {
    /// The main output (0), or a named one.
    Port(Port),
    /// The events that the component rejected: `NAME.rejected`.
    Rejected,
}
