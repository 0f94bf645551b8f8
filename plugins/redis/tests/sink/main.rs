//! The sink against real servers: each test starts its own and ends it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// Starting servers and asking them.
mod server;

/// Redis Cluster.
mod cluster;
/// What each command writes, and the limits on keys.
mod commands;
/// Options that cannot be.
mod options;
/// Servers that are down, stop, hang or lie.
mod outages;
/// Where servers are: sockets, databases, TLS.
mod places;
/// What the server refuses, and what becomes of those events.
mod refusals;
/// Redis Sentinel.
mod sentinel;
