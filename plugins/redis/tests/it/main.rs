//! The source and the sink against real Redis servers. Each test starts the servers that it needs.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

/// A group whose entries are acknowledged by the sink, effectively once.
mod group;
/// The source `redis_stream` without a group.
mod ids;
/// The sink with effectively-once delivery.
mod once;
/// The sink with at-least-once delivery.
mod sink;
/// The source `redis_stream`.
mod stream;
