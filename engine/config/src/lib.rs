//! From the text of a pipeline file to a checked topology, and every diagnostic on the way.
//!
//! Pure: it never opens a file or a connection, never reads a clock or the environment; whoever calls it
//! passes those in. Read [`Pipeline`] first, the result; then [`Diagnostic`], what is wrong with a file.

mod topology;

pub use topology::{
    BatchOptions, Delivery, EngineOptions, Graph, Input, Node, OnReject, OutputName, Pipeline, RetryOptions,
    Settings,
};
