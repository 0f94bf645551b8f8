//! Turns the text of a pipeline file into a checked topology, or into all of its diagnostics.
//!
//! Pure: the crate never opens a file or a connection, and never reads a clock or the environment. The caller passes
//! these in as an [`Environment`].
//!
//! Each module uses only modules above it:
//!
//! | module | content |
//! | --- | --- |
//! | `names`, `text`, `environment` | rules for names, the text of a file, access to the outside |
//! | `diagnostic` | problems of a file, and how they are printed |
//! | `document` | the file as a tree with places: syntax, overrides, `${...}` |
//! | `schema` | JSON Schema, read as a description of options |
//! | `check` | values against a schema |
//! | `keys` | the engine's keys, one field each |
//! | `topology` | the result: [`Pipeline`], [`Graph`], [`Node`] |
//! | `manual` | options for people and editors |
//! | `component` | one component: keys, plugin, options |
//! | `graph` | connections, cycles, delivery guarantees |
//! | `load` | all of it, in order |

#![warn(clippy::match_bool)]

mod check;
mod component;
mod diagnostic;
mod document;
mod environment;
mod graph;
mod keys;
mod load;
mod manual;
mod names;
mod schema;
mod text;
mod topology;

pub use component::exclusive::{Claimed, collisions};
pub use diagnostic::render::{render, to_json};
pub use diagnostic::{Diagnostic, Label, Severity};
pub use document::overrides::Override;
pub use environment::{Environment, FindLibrary};
pub use graph::drawing::{graphviz, mermaid};
pub use graph::guarantee::{Guarantee, GuaranteeLevel, guarantees};
pub use keys::{BatchOptions, DeadLetterOptions, Delivery, EngineOptions, OnReject, RetryOptions, Settings};
pub use load::{Loaded, load};
pub use manual::editor::editor_schema;
pub use manual::options::{OptionDoc, engine_options, options, pipeline_options};
pub use text::Text;
pub use topology::{Graph, Input, Node, OutputName, Pipeline};
