//! How many bytes may be in flight.
//!
//! Only sources wait for the budget: what a source batch costs is paid when it is read and given back when
//! its last event has ended. Nothing downstream waits for it, so it cannot deadlock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of account, in bytes: the least that a batch costs.
const UNIT: usize = 1024;

/// The bytes that one graph may have in flight.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total: usize,
}

/// What a batch in flight has paid; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    _units: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = (bytes / UNIT).clamp(1, u32::MAX as usize >> 4);
        Self { units: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits until `bytes` more may be in flight. A batch larger than the whole budget waits for all of it.
    pub(crate) async fn charge(&self, bytes: usize) -> Charge {
        let units = bytes.div_ceil(UNIT).clamp(1, self.total) as u32;
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        Charge { _units: permit.expect("the semaphore is never closed") }
    }

    /// Bytes in flight.
    pub(crate) fn used(&self) -> u64 {
        ((self.total - self.units.available_permits()) * UNIT) as u64
    }
}
