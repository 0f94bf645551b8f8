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
pub(crate) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: usize,
}

/// What a batch in flight has paid; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    _units: OwnedSemaphorePermit,
}

impl MemoryBudget {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is charged is given back, and what is in flight is what was charged, rounded up.
        #[test]
        fn what_is_charged_is_in_flight_until_it_is_given_back(
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
