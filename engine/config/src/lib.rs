//! From the text of a pipeline file to a checked topology, and every diagnostic on the way.
//!
//! Pure: it never opens a file or a connection, never reads a clock or the environment; whoever calls it
//! passes those in. Read [`Pipeline`] first, the result; then [`Diagnostic`], what is wrong with a file;
//! then [`load`], which makes both.

mod topology;

mod diagnostic;
mod libraries;
mod load;
mod overrides;
mod render;

mod drawing;
mod editor;
mod guarantee;
mod options;

mod answers;
mod check;
mod component;
mod document;
mod engine_keys;
mod example;
mod exclusive;
mod formats;
mod graph;
mod interpolate;
mod keys;
mod names;
mod quoted;
mod refusal;
mod schema;
mod syntax;
mod trial;
mod wiring;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use drawing::{graphviz, mermaid};
pub use editor::editor_schema;
pub use exclusive::{Claimed, collisions};
pub use guarantee::{Guarantee, Promise, guarantees};
pub use load::{FindLibrary, Loaded, Surroundings, Text, load};
pub use options::{OptionDoc, engine_options, options, pipeline_options};
pub use overrides::Override;
pub use render::{render, to_json};
pub use topology::{
    BatchOptions, DeadLetterOptions, Delivery, EngineOptions, Graph, Input, Node, OnReject, OutputName,
    Pipeline, RetryOptions, Settings,
};
