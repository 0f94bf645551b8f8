//! Plain filters in a row: a batch passes them as function calls, while its bytes are in the cache.

use std::sync::Arc;

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{Class, Error, Filter, Fused, Output, Passed};
use tokio::task::block_in_place;

use crate::dataflow::context::SegmentContext;
use crate::dataflow::emission::{Emission, reject_all, settle};
use crate::dataflow::failure::Failure;
use crate::dataflow::plan::MAIN;
use crate::dataflow::retry::RetryState;
use crate::dataflow::state_handoff::{StateHandoff, saved};
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

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
    pub(crate) metrics: Arc<ComponentMetrics>,
    /// This link and some behind it, as one.
    fusion: Option<Fusion>,
    retry: RetryOptions,
    /// Made at the first error that is retried.
    retry_state: Option<RetryState>,
}

/// One parcel on its way through a chain.
struct Passage {
    /// The parcels that are still to be processed, each with the index of its link; the last one is next.
    work: Vec<(usize, TrackedBatch)>,
    /// Whether the next one is processed again, so that it was counted before.
    again: bool,
    emissions: Vec<Emission>,
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
    pub(crate) fn new(
        node: usize,
        filter: Box<dyn Filter>,
        metrics: Arc<ComponentMetrics>,
        retry: RetryOptions,
    ) -> Self {
        Self { node, filter, metrics, fusion: None, retry, retry_state: None }
    }
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
            Some(Link::new(link.node, filter, Arc::clone(&link.metrics), link.retry))
        };
        Some(Self::new(self.links.iter().map(link).collect::<Option<_>>()?))
    }

    /// Gives each filter back what one before it remembered, where there is something.
    pub(crate) async fn restore(&mut self, states: &StateHandoff) {
        for link in &mut self.links {
            if let Some(state) = states.before(link.node).await {
                let result = block_in_place(|| link.filter.restore(&state));
                states.restored(link.node, state.len(), result);
            }
        }
    }

    /// Saves what each filter remembers, if another is to take its place.
    pub(crate) async fn save(&mut self, states: &StateHandoff) {
        if states.are_wanted() {
            for link in &mut self.links {
                let save = async { block_in_place(|| link.filter.save()) };
                states.save(link.node, saved(link.metrics.name(), save).await);
            }
        }
    }

    /// Sets the health of each filter: they have nothing to open, so they are ready when their segment is.
    pub(crate) fn set_health(&self, health: &Health) {
        for link in &self.links {
            link.metrics.set_health(health.clone());
        }
    }

    /// What these filters make of a parcel that left component `from` through its
    /// main output. A filter that cannot process it now is tried again.
    pub(crate) async fn apply(
        &mut self,
        context: &SegmentContext,
        from: usize,
        tracked: TrackedBatch,
    ) -> Result<Vec<Emission>, Failure> {
        if self.links.is_empty() {
            return Ok(vec![Emission::Events { node: from, output: OutputName::Port(MAIN), tracked }]);
        }
        let is_long = tracked.batch().bytes() >= LONG;
        let mut passage = Passage::of(tracked);
        loop {
            let advanced = if is_long {
                block_in_place(|| self.advance(&mut passage))
            } else {
                self.advance(&mut passage)
            };
            match advanced {
                Ok(()) => return Ok(passage.emissions),
                Err(stalled) => {
                    self.links[stalled.index].retry(context, &mut passage, &stalled.error).await?;
                }
            }
        }
    }

    /// Processes what is to be processed, until a filter fails.
    fn advance(&mut self, passage: &mut Passage) -> Result<(), Stalled> {
        let last = self.links.len() - 1;
        // Depth first, so that a batch is through before the next one begins; the last one pushed comes first.
        while let Some((index, tracked)) = passage.work.pop() {
            let again = std::mem::take(&mut passage.again);
            let (done, pieces) = match self.step(index, tracked, again) {
                Ok(made) => made,
                Err((tracked, error)) => {
                    passage.work.push((index, tracked));
                    passage.again = true;
                    return Err(Stalled { index, error });
                }
            };
            let mut onwards = Vec::new();
            for piece in pieces {
                match piece {
                    Emission::Events { output: OutputName::Port(MAIN), tracked, .. } if done < last => {
                        onwards.push((done + 1, tracked));
                    }
                    other => passage.emissions.push(other),
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
        tracked: TrackedBatch,
        again: bool,
    ) -> Result<(usize, Vec<Emission>), (TrackedBatch, Error)> {
        let link = &mut self.links[index];
        let mut out = Output::new(tracked.batch());
        if !again {
            link.metrics.record_in(tracked.batch());
        }
        let busy = link.metrics.busy();
        if let Some(fusion) = &mut link.fusion
            && fusion.process(&tracked, &mut out)
        {
            drop(busy);
            return Ok(self.settle_fused(index, tracked, out));
        }
        let result = link.filter.process(tracked.batch(), &mut out).and_then(|()| out.check());
        drop(busy);
        if let Err(error) = result {
            return Err((tracked, error));
        }
        if let Some(retry_state) = &mut link.retry_state {
            retry_state.succeeded();
        }
        Ok((index, settle(link.node, &link.metrics, tracked, out)))
    }

    fn settle_fused(&self, first: usize, tracked: TrackedBatch, out: Output) -> (usize, Vec<Emission>) {
        let passed = self.links[first].fusion.iter().flat_map(|fusion| &fusion.passed);
        let mut last = first;
        for passed in passed {
            self.links[last].metrics.record_out_counts(*passed);
            last += 1;
            self.links[last].metrics.record_in_counts(*passed);
        }
        let link = &self.links[last];
        (last, settle(link.node, &link.metrics, tracked, out))
    }
}

impl Passage {
    fn of(tracked: TrackedBatch) -> Self {
        Self { work: vec![(0, tracked)], again: false, emissions: Vec::new() }
    }
}

impl Link {
    /// Waits until it is time for another try at the next parcel, or takes the parcel out if there is none.
    async fn retry(
        &mut self,
        context: &SegmentContext,
        passage: &mut Passage,
        error: &Error,
    ) -> Result<(), Failure> {
        let Some((_, tracked)) = passage.work.last() else { return Ok(()) };
        let retry_state = self.retry_state.get_or_insert_with(|| {
            RetryState::new(&self.retry, &self.metrics, &context.cx, context.hard_stop())
        });
        let reason = if error.class() == Class::Reject {
            Some(error.to_string())
        } else {
            let tried = retry_state.failures() + 1;
            let again = retry_state.again_for(error, tracked.batch()).await?;
            (!again).then(|| format!("given up after {tried} tries: {error}"))
        };
        let is_cancelled = tracked.batch().is_cancelled();
        if !is_cancelled && reason.is_none() {
            return Ok(());
        }
        passage.again = false;
        let Some((_, tracked)) = passage.work.pop() else { return Ok(()) };
        if is_cancelled {
            retry_state.cancelled();
            tracked.cancel(&self.metrics);
        } else if let Some(reason) = reason {
            passage.emissions.extend(reject_all(self.node, &self.metrics, tracked, &reason));
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
    fn process(&mut self, tracked: &TrackedBatch, out: &mut Output) -> bool {
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.passed.fill(Passed::default());
        let done = self.filters.process(tracked.batch(), out, &mut self.passed) && out.check().is_ok();
        if !done {
            out.take();
            self.pause = PAUSE;
        }
        done
    }
}

#[cfg(test)]
mod tests;
