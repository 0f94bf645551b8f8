//! Batches that leave a component: through one of its outputs, or rejected.

use tidegate_config::OutputName;
use tidegate_sdk::{Output, Rejection};

use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;

/// Events that leave a component.
pub(crate) enum Emission {
    /// Events, through an output of a component.
    Events { node: usize, output: OutputName, tracked: TrackedBatch },
    /// Events that a component rejected; a reason each.
    Rejected { node: usize, tracked: TrackedBatch, reasons: Vec<String> },
}

/// Converts the output of a component for `tracked` into emissions. Events that are not in it were dropped on purpose.
pub(crate) fn emit(
    node: usize,
    metrics: &ComponentMetrics,
    tracked: TrackedBatch,
    mut out: Output,
) -> Vec<Emission> {
    let (emitted, rejected) = out.take();
    let mut emissions = Vec::with_capacity(emitted.len() + 1);
    for (port, batch) in emitted {
        metrics.record_out(&batch);
        let output = OutputName::Port(port);
        emissions.push(Emission::Events { node, output, tracked: tracked.derive(batch) });
    }
    emissions.extend(reject(node, metrics, &tracked, rejected));
    tracked.done();
    emissions
}

/// Rejects every event of a batch.
pub(crate) fn reject_all(
    node: usize,
    metrics: &ComponentMetrics,
    tracked: TrackedBatch,
    reason: &str,
) -> Option<Emission> {
    let all = (0..tracked.batch().len()).map(|event| Rejection { event, reason: reason.to_owned() });
    let emissions = reject(node, metrics, &tracked, all.collect());
    tracked.done();
    emissions
}

/// Rejects some events of a batch.
pub(crate) fn reject(
    node: usize,
    metrics: &ComponentMetrics,
    tracked: &TrackedBatch,
    mut rejected: Vec<Rejection>,
) -> Option<Emission> {
    rejected.retain(|rejection| rejection.event < tracked.batch().len());
    if rejected.is_empty() {
        return None;
    }
    metrics.rejected(rejected.len());
    let tracked = tracked.select(rejected.iter().map(|rejection| rejection.event));
    Some(Emission::Rejected {
        node,
        tracked,
        reasons: rejected.into_iter().map(|rejection| rejection.reason).collect(),
    })
}

/// Indices of the events of a batch of `count` that are not in `rejected`.
pub(crate) fn remaining(count: usize, rejected: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut is_rejected = vec![false; count];
    for event in rejected {
        if let Some(flag) = is_rejected.get_mut(event) {
            *flag = true;
        }
    }
    (0..count).filter(|event| !is_rejected[*event]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of 8,192 requests with 4,096 rejections took a search of all rejections for each event.
    #[test]
    fn remaining_events_are_found_with_one_look_at_each_rejection() {
        let mut looks = 0;
        let rejected = (0..8192).rev().filter(|event| event % 2 == 1).inspect(|_| looks += 1);
        let left = remaining(8192, rejected.chain([9000, 9000]));
        assert!(left.iter().copied().eq((0..8192).step_by(2)), "indices out of range are ignored");
        assert_eq!(looks, 4096);
    }
}
