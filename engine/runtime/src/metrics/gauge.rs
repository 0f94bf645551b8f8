//! Gauge of the queue upstream of a component.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::metrics::status::Queue;

/// Tells how full an edge is.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    room: Arc<Semaphore>,
    capacity: usize,
}

impl Gauge {
    /// A gauge of a queue with this many bytes, of which those in `room` are free.
    pub(crate) fn new(room: Arc<Semaphore>, capacity: usize) -> Self {
        Self { room, capacity }
    }

    pub(crate) fn fill(&self) -> Queue {
        let used = self.capacity.saturating_sub(self.room.available_permits());
        Queue { bytes: used as u64, capacity: self.capacity as u64 }
    }
}
