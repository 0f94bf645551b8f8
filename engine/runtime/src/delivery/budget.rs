//! Memory budget: the bytes that may be in flight.
//!
//! Only sources wait for the budget. A source batch pays when it is read, and its bytes are returned when its last event has
//! ended. Downstream code never waits for it, so it cannot deadlock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit of the budget in bytes, and the smallest cost of a batch.
const UNIT: usize = 1024;

/// Memory budget of one graph.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: usize,
}

/// Bytes that a batch in flight has paid. They are returned on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    _units: OwnedSemaphorePermit,
}

impl MemoryBudget {
    /// Creates a budget of `bytes`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// All charges are returned, and the bytes in flight are the charges, rounded up.
        #[test]
        fn charged_bytes_are_in_flight_until_they_are_returned(
            total in 0_usize..1 << 20, sizes in prop::collection::vec(0_usize..1 << 16, 0..20)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let budget = MemoryBudget::new(total);
                let units = (total / UNIT).max(1);
                let (mut charges, mut expected) = (Vec::new(), 0);
                for size in sizes {
                    let cost = size.div_ceil(UNIT).clamp(1, units);
                    if expected + cost > units {
                        charges.clear();
                        expected = 0;
                    }
                    charges.push(budget.charge(size).await);
                    expected += cost;
                    prop_assert_eq!(budget.used(), (expected * UNIT) as u64);
                }
                drop(charges);
                prop_assert_eq!(budget.used(), 0);
                Ok(())
            })?;
        }
    }
}
