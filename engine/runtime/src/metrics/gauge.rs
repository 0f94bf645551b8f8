//! Gauge of the queue upstream of a component.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::metrics::status::Queue;

/// Gauge of a queue, which it does not keep open.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    room: Arc<Semaphore>,
    capacity: usize,
}

impl Gauge {
    /// Creates the gauge of a queue with `capacity` bytes, of which the permits of `room` are free.
    pub(crate) fn new(room: Arc<Semaphore>, capacity: usize) -> Self {
        Self { room, capacity }
    }

    pub(crate) fn fill(&self) -> Queue {
        let used = self.capacity.saturating_sub(self.room.available_permits());
        Queue { bytes: used as u64, capacity: self.capacity as u64 }
    }
}
