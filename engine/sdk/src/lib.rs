//! All that a plugin sees of Tidegate: batches of events, and the contracts of sources, filters and sinks.
//!
//! This crate never runs a pipeline, never reads a pipeline file and knows no concrete plugin. It holds what
//! a plugin author imports, and what every plugin would otherwise write again (units, templates, framing).
//!
//! Read [`Batch`] first: the bytes and spans that flow. Then [`Source`], [`Filter`] and [`Sink`]: what a
//! plugin promises. [`Plugin`] describes it to the engine; the crate `tidegate-export` makes a shared library of a crate
//! of plugins. The [`guide`] goes from an empty folder to a library that runs.

#![forbid(unsafe_code)]

mod batch;
mod context;
mod contract;
mod error;
pub mod framing;
pub mod guide;
pub mod json;
mod options;
mod plugin;

#[doc(hidden)]
pub use batch::Parts;
pub use batch::{AttributeValue, Attributes, Batch, BatchBuilder, Client, Origin, Position, Run, Span};
pub use context::{
    Complaint, Cx, Metric, MetricDefinition, MetricKind, Metrics, Now, OVERFLOW, Progress, Series, Tasks,
};
pub use contract::{
    AckHandles, AcknowledgingSink, AsyncFilter, Attempt, BoxFuture, Capabilities, Claim, Commit, Delivery,
    Emitter, Filter, Fused, Lane, Outcome, Output, Passed, Port, Record, Rejection, Replay, Sink, Source,
    SourceBatch, SourceRejection, TransactionalSink,
};
pub use error::config_errors::ConfigErrors;
pub use error::{Class, ConfigError, Error};
pub use options::{
    Access, Duration, Exclusive, Hosts, Overlap, PathPattern, Resource, Secret, Size, Template, redact_url,
};
pub use plugin::{Component, Isolation, Kind, Library, Manual, Placement, Plugin, Registry};

/// Turns the `async fn`s of a contract into functions that return a boxed future, so that the traits fit in a
/// `Box<dyn Sink>`. Write it above each trait implementation.
pub use async_trait::async_trait;

/// The crates whose types appear in this crate's contracts, so that a plugin uses the same versions.
pub use {bytes, schemars, serde, serde_json};

/// The number of events that a batch aims at, at most. A batch may hold fewer; only a split may make it hold more.
pub const BATCH_EVENTS: usize = 8192;

/// The number of payload bytes that a batch aims at, at most. One event larger than this travels alone.
pub const BATCH_BYTES: usize = 1 << 20;

/// The limit for the state that a filter passes to its successor at a reload, in bytes.
pub const STATE_BYTES: usize = 64 << 20;
