//! Effectively once against servers that are killed, torn and emptied: nothing is lost and nothing is duplicated.

/// Plays the engine: numbers events, claims, commits, and resumes from the record.
mod driver;
/// Loses replies on their way.
mod proxy;

/// Keys that share a slot, and keys that do not.
mod cluster;
/// Results of each command, and the steps in which a batch is stored.
mod commands;
/// Servers that are killed and return with less than they had.
mod crashes;
/// Conditions that stop or pause a lane.
mod refusals;
/// Writes in a transaction, and their rollback.
mod transactions;
