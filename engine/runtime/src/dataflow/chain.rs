//! Chain of plain filters: a batch passes them as function calls, while its bytes are in the cache.

use std::sync::Arc;

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{Class, Error, Filter, Fused, Output, Passed};
use tokio::task::block_in_place;

use crate::dataflow::context::SegmentContext;
use crate::dataflow::emission::{Emission, emit, reject_all};
use crate::dataflow::failure::Failure;
use crate::dataflow::plan::MAIN;
use crate::dataflow::retry::RetryState;
use crate::dataflow::state_handoff::{StateHandoff, saved};
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

/// Size in payload bytes from which a batch is processed off the async workers, because it would block one for long.
const LONG: usize = 32 << 10;

/// Number of batches that pass fused filters one by one after a batch that the fusion could not process: the next ones
/// are likely to be like it.
const PAUSE: u32 = 16;

/// Plain filters of one segment, in order.
pub(crate) struct Chain {
    links: Vec<Link>,
}

/// A filter of a chain.
pub(crate) struct Link {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) filter: Box<dyn Filter>,
    pub(crate) metrics: Arc<ComponentMetrics>,
    /// This filter and some downstream of it, as one.
    fusion: Option<Fusion>,
    retry: RetryOptions,
    /// Created at the first error that is retried.
    retry_state: Option<RetryState>,
}

/// A batch on its way through a chain.
struct Passage {
    /// Batches to be processed, each with the index of its link. The last one is next.
    work: Vec<(usize, TrackedBatch)>,
    /// True if the next batch is processed again, and so was counted before.
    is_retry: bool,
    emissions: Vec<Emission>,
}

/// A filter that could not process the next batch of a [`Passage`].
struct Stalled {
    index: usize,
    error: Error,
}

struct Fusion {
    filters: Box<dyn Fused>,
    /// Counts of the events that passed between the filters, for one batch.
    passed: Vec<Passed>,
    /// Number of batches that pass the filters one by one before the fusion is tried again.
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
    /// Creates a chain, and fuses filters where they can be.
    pub(crate) fn new(mut links: Vec<Link>) -> Self {
        let mut index = 0;
        while index < links.len() {
            let downstream: Vec<&dyn Filter> = links[index + 1..].iter().map(|link| &*link.filter).collect();
            let fusion =
                links[index].filter.fuse(&downstream).and_then(|fused| Fusion::new(fused, downstream.len()));
            let filters = fusion.as_ref().map_or(1, |fusion| fusion.filters.filters());
            links[index].fusion = fusion;
            index += filters;
        }
        Self { links }
    }

    /// Forks every filter; `None` if one of them cannot be forked.
    pub(crate) fn fork(&self) -> Option<Self> {
        let link = |link: &Link| {
            let filter = link.filter.fork()?;
            Some(Link::new(link.node, filter, Arc::clone(&link.metrics), link.retry))
        };
        Some(Self::new(self.links.iter().map(link).collect::<Option<_>>()?))
    }

    /// Restores the inherited state of each filter that has one.
    pub(crate) async fn restore(&mut self, state_handoff: &StateHandoff) {
        for link in &mut self.links {
            if let Some(state) = state_handoff.inherited(link.node).await {
                let result = block_in_place(|| link.filter.restore(&state));
                state_handoff.restored(link.node, state.len(), result);
            }
        }
    }

    /// Saves the state of each filter, if a successor was announced.
    pub(crate) async fn save(&mut self, state_handoff: &StateHandoff) {
        if state_handoff.is_requested() {
            for link in &mut self.links {
                let save = async { block_in_place(|| link.filter.save()) };
                state_handoff.save(link.node, saved(link.metrics.name(), save).await);
            }
        }
    }

    /// Sets the health of each filter. They have nothing to open, so they are ready when their segment is.
    pub(crate) fn set_health(&self, health: &Health) {
        for link in &self.links {
            link.metrics.set_health(health.clone());
        }
    }

    /// Passes a batch through the filters, after it left component `from` through its main output. Retries a filter that
    /// returns a retryable error.
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

    /// Processes batches until none is left or a filter fails.
    fn advance(&mut self, passage: &mut Passage) -> Result<(), Stalled> {
        let last = self.links.len() - 1;
        // Depth first: a batch passes all filters before the next one begins. The last one pushed is next.
        while let Some((index, tracked)) = passage.work.pop() {
            let is_retry = std::mem::take(&mut passage.is_retry);
            let (done, pieces) = match self.step(index, tracked, is_retry) {
                Ok(made) => made,
                Err((tracked, error)) => {
                    passage.work.push((index, tracked));
                    passage.is_retry = true;
                    return Err(Stalled { index, error });
                }
            };
            let mut next = Vec::new();
            for piece in pieces {
                match piece {
                    Emission::Events { output: OutputName::Port(MAIN), tracked, .. } if done < last => {
                        next.push((done + 1, tracked));
                    }
                    other => passage.emissions.push(other),
                }
            }
            passage.work.extend(next.into_iter().rev());
        }
        Ok(())
    }

    /// Processes a batch with the filter at `index` and those that are fused to it. Returns the index of the last of them.
    fn step(
        &mut self,
        index: usize,
        tracked: TrackedBatch,
        is_retry: bool,
    ) -> Result<(usize, Vec<Emission>), (TrackedBatch, Error)> {
        let link = &mut self.links[index];
        let mut out = Output::new(tracked.batch());
        if !is_retry {
            link.metrics.record_in(tracked.batch());
        }
        let busy = link.metrics.time_call();
        if let Some(fusion) = &mut link.fusion
            && fusion.process(&tracked, &mut out)
        {
            drop(busy);
            return Ok(self.emit_fused(index, tracked, out));
        }
        let result = link.filter.process(tracked.batch(), &mut out).and_then(|()| out.check());
        drop(busy);
        if let Err(error) = result {
            return Err((tracked, error));
        }
        if let Some(retry_state) = &mut link.retry_state {
            retry_state.succeeded();
        }
        Ok((index, emit(link.node, &link.metrics, tracked, out)))
    }

    fn emit_fused(&self, first: usize, tracked: TrackedBatch, out: Output) -> (usize, Vec<Emission>) {
        let passed = self.links[first].fusion.iter().flat_map(|fusion| &fusion.passed);
        let mut last = first;
        for passed in passed {
            self.links[last].metrics.record_out_counts(*passed);
            last += 1;
            self.links[last].metrics.record_in_counts(*passed);
        }
        let link = &self.links[last];
        (last, emit(link.node, &link.metrics, tracked, out))
    }
}

impl Passage {
    fn of(tracked: TrackedBatch) -> Self {
        Self { work: vec![(0, tracked)], is_retry: false, emissions: Vec::new() }
    }
}

impl Link {
    /// Waits until the next try at the next batch of the passage, or takes the batch out if there is none.
    async fn retry(
        &mut self,
        context: &SegmentContext,
        passage: &mut Passage,
        error: &Error,
    ) -> Result<(), Failure> {
        let Some((_, tracked)) = passage.work.last() else { return Ok(()) };
        let retry_state = self
            .retry_state
            .get_or_insert_with(|| RetryState::new(&self.retry, &self.metrics, &context.cx, &context.tasks));
        let reason = if error.class() == Class::Reject {
            Some(error.to_string())
        } else {
            let tried = retry_state.failures() + 1;
            let is_tried_again = retry_state.failed_for(error, tracked.batch()).await?;
            (!is_tried_again).then(|| format!("given up after {tried} tries: {error}"))
        };
        let is_cancelled = tracked.batch().is_cancelled();
        if !is_cancelled && reason.is_none() {
            return Ok(());
        }
        passage.is_retry = false;
        let Some((_, tracked)) = passage.work.pop() else { return Ok(()) };
        if is_cancelled {
            retry_state.gave_up();
            tracked.cancel(&self.metrics);
        } else if let Some(reason) = reason {
            passage.emissions.extend(reject_all(self.node, &self.metrics, tracked, &reason));
        }
        Ok(())
    }
}

impl Fusion {
    /// `None` if it does not stand for at least two filters of the chain.
    fn new(filters: Box<dyn Fused>, downstream: usize) -> Option<Self> {
        let count = filters.filters();
        let fits = (2..=downstream + 1).contains(&count);
        fits.then(|| Self { filters, passed: vec![Passed::default(); count - 1], pause: 0 })
    }

    /// Returns false, with nothing in `out`, if the filters have to be called one by one.
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
