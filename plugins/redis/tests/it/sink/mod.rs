//! The sink without a record of its own.

/// Starts and queries servers.
pub(crate) mod server;

/// Addresses: sockets, databases, TLS.
mod addresses;
/// Redis Cluster.
pub(crate) mod cluster;
/// Results of each command, and the limits of keys.
mod commands;
/// Options that are refused.
mod options;
/// Servers that are down, stop, hang or lie.
mod outages;
/// Commands that the server refuses, and the fate of their events.
mod refusals;
/// Redis Sentinel.
pub(crate) mod sentinel;
