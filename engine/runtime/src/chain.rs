//! Filters that are plain functions, one behind the other: a batch goes through them as calls, while its
//! bytes are in the cache.

use std::sync::Arc;

use tidegate_config::OutputName;
use tidegate_sdk::{Filter, Output, Rejection};

use crate::failure::Failure;
use crate::meter::Meter;
use crate::parcel::Parcel;
use crate::plan::MAIN;

/// A batch of this many payload bytes is processed off the async workers: it would hold one up for long.
const LONG: usize = 32 << 10;

/// The filters of one segment, in order.
pub(crate) struct Chain {
    links: Vec<Link>,
}

pub(crate) struct Link {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) filter: Box<dyn Filter>,
    pub(crate) meter: Arc<Meter>,
}

/// Something that leaves a segment.
pub(crate) enum Leaving {
    /// Events, through an output of a component.
    Events { node: usize, output: OutputName, parcel: Parcel },
    /// Events that a component rejected; a reason each.
    Rejected { node: usize, parcel: Parcel, reasons: Vec<String> },
}

impl Chain {
    pub(crate) fn new(links: Vec<Link>) -> Self {
        Self { links }
    }

    /// Another chain that does the same; `None` if one of its filters cannot be forked.
    pub(crate) fn fork(&self) -> Option<Self> {
        let link = |link: &Link| {
            let filter = link.filter.fork()?;
            Some(Link { node: link.node, filter, meter: Arc::clone(&link.meter) })
        };
        Some(Self { links: self.links.iter().map(link).collect::<Option<_>>()? })
    }

    /// What these filters make of a parcel that left component `from` through its main output.
    pub(crate) fn apply(&mut self, from: usize, parcel: Parcel) -> Result<Vec<Leaving>, Failure> {
        if self.links.is_empty() {
            return Ok(vec![Leaving::Events { node: from, output: OutputName::Port(MAIN), parcel }]);
        }
        match parcel.batch().bytes() >= LONG {
            true => tokio::task::block_in_place(|| self.run(parcel)),
            false => self.run(parcel),
        }
    }

    fn run(&mut self, parcel: Parcel) -> Result<Vec<Leaving>, Failure> {
        let mut leaving = Vec::new();
        // Depth first, so that a batch is through before the next one begins; the last one pushed comes first.
        let mut work = vec![(0, parcel)];
        let last = self.links.len() - 1;
        while let Some((index, parcel)) = work.pop() {
            let link = &mut self.links[index];
            let mut out = Output::new();
            link.meter.took(parcel.batch());
            let busy = link.meter.busy();
            let result = link.filter.process(parcel.batch(), &mut out);
            drop(busy);
            result.map_err(|error| Failure::fatal(link.meter.name(), error))?;
            let mut onwards = Vec::new();
            for piece in settle(link.node, &link.meter, parcel, out) {
                match piece {
                    Leaving::Events { output: OutputName::Port(MAIN), parcel, .. } if index < last => {
                        onwards.push((index + 1, parcel));
                    }
                    other => leaving.push(other),
                }
            }
            work.extend(onwards.into_iter().rev());
        }
        Ok(leaving)
    }
}

/// What leaves a component that made `out` of `parcel`. What it does not mention is dropped on purpose.
pub(crate) fn settle(node: usize, meter: &Meter, parcel: Parcel, mut out: Output) -> Vec<Leaving> {
    let (emitted, rejected) = out.take();
    let mut leaving = Vec::with_capacity(emitted.len() + 1);
    for (port, batch) in emitted {
        meter.gave(&batch);
        let output = OutputName::Port(port);
        leaving.push(Leaving::Events { node, output, parcel: parcel.derive(batch) });
    }
    leaving.extend(reject(node, meter, &parcel, rejected));
    parcel.done();
    leaving
}

/// What leaves a component that rejects some events of `parcel`.
pub(crate) fn reject(
    node: usize,
    meter: &Meter,
    parcel: &Parcel,
    mut rejected: Vec<Rejection>,
) -> Option<Leaving> {
    rejected.retain(|rejection| rejection.event < parcel.batch().len());
    if rejected.is_empty() {
        return None;
    }
    meter.rejected(rejected.len());
    let parcel = parcel.select(rejected.iter().map(|rejection| rejection.event));
    Some(Leaving::Rejected {
        node,
        parcel,
        reasons: rejected.into_iter().map(|rejection| rejection.reason).collect(),
    })
}
