//! Filters that are plain functions, one behind the other: a batch goes through them as calls, while its
//! bytes are in the cache.

use std::sync::Arc;

use tidegate_config::OutputName;
use tidegate_sdk::{Filter, Fused, Output, Passed, Rejection};
use tokio::task::block_in_place;

use crate::failure::Failure;
use crate::meter::Meter;
use crate::parcel::Parcel;
use crate::plan::MAIN;
use crate::state::{States, saved};

/// A batch of this many payload bytes is processed off the async workers: it would hold one up for long.
const LONG: usize = 32 << 10;

/// After a batch that fused filters could not do in one go, so many are not tried: the next ones are likely to be
/// like it.
const PAUSE: u32 = 16;

/// The filters of one segment, in order.
pub(crate) struct Chain {
    links: Vec<Link>,
}

pub(crate) struct Link {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) filter: Box<dyn Filter>,
    pub(crate) meter: Arc<Meter>,
    /// This link and some behind it, as one.
    fusion: Option<Fusion>,
}

struct Fusion {
    filters: Box<dyn Fused>,
    /// What passed between them, for one batch.
    passed: Vec<Passed>,
    /// How many batches go through them one by one before they are fused again.
    pause: u32,
}

impl Link {
    pub(crate) fn new(node: usize, filter: Box<dyn Filter>, meter: Arc<Meter>) -> Self {
        Self { node, filter, meter, fusion: None }
    }
}

/// Something that leaves a segment.
pub(crate) enum Leaving {
    /// Events, through an output of a component.
    Events { node: usize, output: OutputName, parcel: Parcel },
    /// Events that a component rejected; a reason each.
    Rejected { node: usize, parcel: Parcel, reasons: Vec<String> },
}

impl Chain {
    /// These filters, those fused that can be.
    pub(crate) fn new(mut links: Vec<Link>) -> Self {
        let mut index = 0;
        while index < links.len() {
            let behind: Vec<&dyn Filter> = links[index + 1..].iter().map(|link| &*link.filter).collect();
            let fusion = links[index].filter.fuse(&behind).and_then(|fused| Fusion::new(fused, behind.len()));
            let filters = fusion.as_ref().map_or(1, |fusion| fusion.filters.filters());
            links[index].fusion = fusion;
            index += filters;
        }
        Self { links }
    }

    /// Another chain that does the same; `None` if one of its filters cannot be forked.
    pub(crate) fn fork(&self) -> Option<Self> {
        let link = |link: &Link| {
            let filter = link.filter.fork()?;
            Some(Link::new(link.node, filter, Arc::clone(&link.meter)))
        };
        Some(Self::new(self.links.iter().map(link).collect::<Option<_>>()?))
    }

    /// Gives each filter back what one before it remembered, where there is something.
    pub(crate) async fn restore(&mut self, states: &States) {
        for link in &mut self.links {
            if let Some(state) = states.before(link.node).await {
                let result = block_in_place(|| link.filter.restore(&state));
                states.restored(link.node, state.len(), result);
            }
        }
    }

    /// Saves what each filter remembers, if another is to take its place.
    pub(crate) async fn save(&mut self, states: &States) {
        if states.are_wanted() {
            for link in &mut self.links {
                let save = async { block_in_place(|| link.filter.save()) };
                states.save(link.node, saved(link.meter.name(), save).await);
            }
        }
    }

    /// What these filters make of a parcel that left component `from` through its main output.
    pub(crate) fn apply(&mut self, from: usize, parcel: Parcel) -> Result<Vec<Leaving>, Failure> {
        if self.links.is_empty() {
            return Ok(vec![Leaving::Events { node: from, output: OutputName::Port(MAIN), parcel }]);
        }
        match parcel.batch().bytes() >= LONG {
            true => block_in_place(|| self.run(parcel)),
            false => self.run(parcel),
        }
    }

    fn run(&mut self, parcel: Parcel) -> Result<Vec<Leaving>, Failure> {
        let mut leaving = Vec::new();
        // Depth first, so that a batch is through before the next one begins; the last one pushed comes first.
        let mut work = vec![(0, parcel)];
        let last = self.links.len() - 1;
        while let Some((index, parcel)) = work.pop() {
            let (done, pieces) = self.step(index, parcel)?;
            let mut onwards = Vec::new();
            for piece in pieces {
                match piece {
                    Leaving::Events { output: OutputName::Port(MAIN), parcel, .. } if done < last => {
                        onwards.push((done + 1, parcel));
                    }
                    other => leaving.push(other),
                }
            }
            work.extend(onwards.into_iter().rev());
        }
        Ok(leaving)
    }

    /// What link number `index`, and those that are fused to it, make of a parcel; and the last of them.
    fn step(&mut self, index: usize, parcel: Parcel) -> Result<(usize, Vec<Leaving>), Failure> {
        let link = &mut self.links[index];
        let mut out = Output::new();
        link.meter.took(parcel.batch());
        let busy = link.meter.busy();
        if let Some(fusion) = &mut link.fusion
            && fusion.process(&parcel, &mut out)
        {
            drop(busy);
            return Ok(self.settle_fused(index, parcel, out));
        }
        let result = link.filter.process(parcel.batch(), &mut out);
        drop(busy);
        result.map_err(|error| Failure::fatal(link.meter.name(), error))?;
        Ok((index, settle(link.node, &link.meter, parcel, out)))
    }

    fn settle_fused(&self, first: usize, parcel: Parcel, out: Output) -> (usize, Vec<Leaving>) {
        let passed = self.links[first].fusion.iter().flat_map(|fusion| &fusion.passed);
        let mut last = first;
        for passed in passed {
            self.links[last].meter.gave_some(*passed);
            last += 1;
            self.links[last].meter.took_some(*passed);
        }
        let link = &self.links[last];
        (last, settle(link.node, &link.meter, parcel, out))
    }
}

impl Fusion {
    /// `None` if it does not stand for at least two filters that are there.
    fn new(filters: Box<dyn Fused>, behind: usize) -> Option<Self> {
        let count = filters.filters();
        let fits = (2..=behind + 1).contains(&count);
        fits.then(|| Self { filters, passed: vec![Passed::default(); count - 1], pause: 0 })
    }

    /// False, and nothing in `out`, if the filters are to be called one by one.
    fn process(&mut self, parcel: &Parcel, out: &mut Output) -> bool {
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.passed.fill(Passed::default());
        let done = self.filters.process(parcel.batch(), out, &mut self.passed);
        if !done {
            out.take();
            self.pause = PAUSE;
        }
        done
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

#[cfg(test)]
mod tests;
