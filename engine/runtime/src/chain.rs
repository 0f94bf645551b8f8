//! Plain filters in a row: a batch passes them as function calls, while its bytes are in the cache.

use std::sync::Arc;

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{Class, Error, Filter, Fused, Output, Passed, Rejection};
use tokio::task::block_in_place;

use crate::failure::Failure;
use crate::meter::Meter;
use crate::parcel::Parcel;
use crate::plan::MAIN;
use crate::segment::Head;
use crate::state::{States, saved};
use crate::status::Health;
use crate::tries::Tries;

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
    retry: RetryOptions,
    /// Made at the first error that is retried.
    tries: Option<Tries>,
}

/// One parcel on its way through a chain.
struct Passage {
    /// The parcels that are still to be processed, each with the index of its link; the last one is next.
    work: Vec<(usize, Parcel)>,
    /// Whether the next one is processed again, so that it was counted before.
    again: bool,
    leaving: Vec<Leaving>,
}

/// A filter that could not process the next parcel of a [`Passage`].
struct Stalled {
    index: usize,
    error: Error,
}

struct Fusion {
    filters: Box<dyn Fused>,
    /// What passed between them, for one batch.
    passed: Vec<Passed>,
    /// How many batches go through them one by one before they are fused again.
    pause: u32,
}

impl Link {
    pub(crate) fn new(node: usize, filter: Box<dyn Filter>, meter: Arc<Meter>, retry: RetryOptions) -> Self {
        Self { node, filter, meter, fusion: None, retry, tries: None }
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
            Some(Link::new(link.node, filter, Arc::clone(&link.meter), link.retry))
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

    /// Sets the health of each filter: they have nothing to open, so they are ready when their segment is.
    pub(crate) fn set_health(&self, health: &Health) {
        for link in &self.links {
            link.meter.set_health(health.clone());
        }
    }

    /// What these filters make of a parcel that left component `from` through its
    /// main output. A filter that cannot process it now is tried again.
    pub(crate) async fn apply(
        &mut self,
        head: &Head,
        from: usize,
        parcel: Parcel,
    ) -> Result<Vec<Leaving>, Failure> {
        if self.links.is_empty() {
            return Ok(vec![Leaving::Events { node: from, output: OutputName::Port(MAIN), parcel }]);
        }
        let is_long = parcel.batch().bytes() >= LONG;
        let mut passage = Passage::of(parcel);
        loop {
            let advanced = if is_long {
                block_in_place(|| self.advance(&mut passage))
            } else {
                self.advance(&mut passage)
            };
            match advanced {
                Ok(()) => return Ok(passage.leaving),
                Err(stalled) => self.links[stalled.index].retry(head, &mut passage, &stalled.error).await?,
            }
        }
    }

    /// Processes what is to be processed, until a filter fails.
    fn advance(&mut self, passage: &mut Passage) -> Result<(), Stalled> {
        let last = self.links.len() - 1;
        // Depth first, so that a batch is through before the next one begins; the last one pushed comes first.
        while let Some((index, parcel)) = passage.work.pop() {
            let again = std::mem::take(&mut passage.again);
            let (done, pieces) = match self.step(index, parcel, again) {
                Ok(made) => made,
                Err((parcel, error)) => {
                    passage.work.push((index, parcel));
                    passage.again = true;
                    return Err(Stalled { index, error });
                }
            };
            let mut onwards = Vec::new();
            for piece in pieces {
                match piece {
                    Leaving::Events { output: OutputName::Port(MAIN), parcel, .. } if done < last => {
                        onwards.push((done + 1, parcel));
                    }
                    other => passage.leaving.push(other),
                }
            }
            passage.work.extend(onwards.into_iter().rev());
        }
        Ok(())
    }

    /// What link number `index`, and those that are fused to it, make of a parcel; and the last of them.
    fn step(
        &mut self,
        index: usize,
        parcel: Parcel,
        again: bool,
    ) -> Result<(usize, Vec<Leaving>), (Parcel, Error)> {
        let link = &mut self.links[index];
        let mut out = Output::new();
        if !again {
            link.meter.took(parcel.batch());
        }
        let busy = link.meter.busy();
        if let Some(fusion) = &mut link.fusion
            && fusion.process(&parcel, &mut out)
        {
            drop(busy);
            return Ok(self.settle_fused(index, parcel, out));
        }
        let result = link.filter.process(parcel.batch(), &mut out);
        drop(busy);
        if let Err(error) = result {
            return Err((parcel, error));
        }
        if let Some(tries) = &mut link.tries {
            tries.went_well();
        }
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

impl Passage {
    fn of(parcel: Parcel) -> Self {
        Self { work: vec![(0, parcel)], again: false, leaving: Vec::new() }
    }
}

impl Link {
    /// Waits until it is time for another try at the next parcel, or takes the parcel out if there is none.
    async fn retry(&mut self, head: &Head, passage: &mut Passage, error: &Error) -> Result<(), Failure> {
        let Some((_, parcel)) = passage.work.last() else { return Ok(()) };
        let tries = self
            .tries
            .get_or_insert_with(|| Tries::new(&self.retry, &self.meter, &head.cx, head.hard_stop()));
        let reason = if error.class() == Class::Reject {
            Some(error.to_string())
        } else {
            let tried = tries.failures() + 1;
            let again = tries.again_for(error, parcel.batch()).await?;
            (!again).then(|| format!("given up after {tried} tries: {error}"))
        };
        let is_cancelled = parcel.batch().is_cancelled();
        if !is_cancelled && reason.is_none() {
            return Ok(());
        }
        passage.again = false;
        let Some((_, parcel)) = passage.work.pop() else { return Ok(()) };
        if is_cancelled {
            tries.cancelled();
            parcel.cancel(&self.meter);
        } else if let Some(reason) = reason {
            passage.leaving.extend(reject_all(self.node, &self.meter, parcel, &reason));
        }
        Ok(())
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

/// What leaves a component that rejects every event of `parcel`.
pub(crate) fn reject_all(node: usize, meter: &Meter, parcel: Parcel, reason: &str) -> Option<Leaving> {
    let all = (0..parcel.batch().len()).map(|event| Rejection { event, reason: reason.to_owned() });
    let leaving = reject(node, meter, &parcel, all.collect());
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
