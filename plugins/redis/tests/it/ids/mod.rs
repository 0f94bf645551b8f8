//! The source `redis_stream` without a group: it reads by the ids of the entries, and resumes at a position.

/// A run of the source.
mod run;

/// Streams that change while nothing reads them, or meanwhile.
mod changes;
/// Payloads, starts and resumed runs.
mod reading;
/// Servers that die, Sentinel and Cluster.
mod servers;
