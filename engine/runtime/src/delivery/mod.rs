//! Delivery guarantees: acknowledgements, positions, records of sinks, and the memory budget.

pub(crate) mod ack;
pub(crate) mod ack_coordinator;
pub(crate) mod budget;
pub(crate) mod checkpoint;
pub(crate) mod sink_progress;
pub(crate) mod source_progress;
pub(crate) mod tracked_batch;
pub(crate) mod tracker;
