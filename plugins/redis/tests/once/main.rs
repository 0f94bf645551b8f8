//! Effectively once, against real servers that are killed, torn, emptied and lied about: nothing is lost and
//! nothing comes twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// Plays the engine: numbers events, claims, commits, and resumes from the record.
mod driver;
/// Loses answers on their way.
mod proxy;

/// Keys that share a slot, and keys that do not.
mod cluster;
/// What each command stores, and what of a batch is stored in which steps.
mod commands;
/// Servers that are killed, and come back with less than they had.
mod crashes;
/// What must stop a lane, or hold it up.
mod refusals;
/// What is written as a transaction, and taken back.
mod transactions;
