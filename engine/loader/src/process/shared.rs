//! Batches in shared memory.

pub(super) mod ack_handles;
pub(super) mod copy_ranges;
pub(super) mod lineage;
pub(super) mod pack;
pub(super) mod region;
pub(super) mod unpack;
