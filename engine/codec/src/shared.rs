//! Columns in shared memory: plain tables, followed by one copy of the bytes.
//!
//! ```text
//! length of the tables (8 bytes) | tables | payload
//! ```
//!
//! Numbers are in the byte order of the machine, because both sides are the same program on the same machine.

pub(crate) mod copy_ranges;
mod handles;
pub(crate) mod pack;
pub(crate) mod unpack;

/// Flag of a batch with keys.
const KEYS: u32 = 1;
/// Flag of a batch with times.
const TIMES: u32 = 2;
/// Flag of a batch with the index of the event that each event was made from.
const FROM: u32 = 4;
/// Flag of a batch with attributes of single events.
const ATTRIBUTES: u32 = 8;
/// Flag of a batch that is the unchanged input. No columns follow.
const SAME: u32 = 16;

/// The buffer number of the payload of the engine's batch.
const GIVEN: u32 = 0;
/// The buffer number of the payload of an answer.
const MADE: u32 = 1;
/// The buffer number of names and texts of attributes.
const TEXTS: u32 = 2;

#[cfg(test)]
mod tests;
