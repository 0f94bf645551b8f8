//! Batches that leave a component: through one of its outputs, or rejected.

use tidegate_config::OutputName;
use tidegate_sdk::{Output, Rejection};

use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;

/// Something that leaves a segment.
pub(crate) enum Emission {
    /// Events, through an output of a component.
    Events { node: usize, output: OutputName, tracked: TrackedBatch },
    /// Events that a component rejected; a reason each.
    Rejected { node: usize, tracked: TrackedBatch, reasons: Vec<String> },
}

/// What leaves a component that made `out` of `parcel`. What it does not mention is dropped on purpose.
pub(crate) fn settle(
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

/// What leaves a component that rejects every event of `parcel`.
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

/// What leaves a component that rejects some events of `parcel`.
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
