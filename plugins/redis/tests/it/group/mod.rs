//! Entries of a group into the same server, effectively once, with several workers: replies are lost, entries are
//! stolen, trimmed and forgotten.

/// A source and a sink, connected as the engine connects them.
mod worker;

/// Addresses that mean the same transaction domain, and addresses that do not.
mod domains;
/// Own entries, stolen entries, and entries that became several events.
mod entries;
/// Servers and groups that lose data.
mod losses;
/// Entries that must not be acknowledged.
mod refusals;
