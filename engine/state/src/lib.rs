//! Durable store of stateful filters: state, outbox, clocks and input records, in one atomic commit.
//!
//! Begin with [`Store::open`] and [`Store::filter`]; [`Changes`] collects a commit, [`Store::commit`] makes it durable. The
//! store knows nothing of graphs, plugins and tasks. Its methods block, so they are called off the async workers.
//!
//! Its `README.md` describes the files, the recovery, and the measurements that chose this design.

#![warn(clippy::match_bool)]

mod changes;
mod coding;
mod error;
mod filter;
mod options;
mod outbox;
mod recovered;
pub mod storage;
mod store;

pub use changes::{Changes, Clock};
pub use error::{
    CommitError, Damage, EntryTooLarge, FilterError, FingerprintMismatch, OpenError, OutboxError, ReadError,
};
pub use filter::{Epoch, FilterId, FilterInfo};
pub use options::{Fingerprint, Options};
pub use outbox::{NewEvent, OutboxCursor, OutboxEntry, OutboxEvent, OutboxMark};
pub use recovered::{Entries, EntryRef, Recovered};
pub use store::{Receipt, Status, Store};
