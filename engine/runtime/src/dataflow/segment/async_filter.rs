//! An async filter, with retries, and the plain filters downstream of it.

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{AsyncFilter, Batch, Class, Output};

use super::permits::EventPermits;
use crate::dataflow::chain::Chain;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::emission::{Emission, emit, reject_all};
use crate::dataflow::failure::Failure;
use crate::dataflow::plan::MAIN;
use crate::dataflow::retry::RetryState;
use crate::dataflow::state_handoff::saved;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// An async filter and the plain filters downstream of it.
pub(crate) struct AsyncStage {
    filter: Box<dyn AsyncFilter>,
    downstream: Chain,
    retry: RetryOptions,
    retry_state: RetryState,
}

/// Result of one call.
pub(super) struct Processed {
    pub(super) emissions: Vec<Emission>,
    /// The events that the filter has deferred to the next call.
    pub(super) deferred: Option<TrackedBatch>,
}

impl AsyncStage {
    /// Creates a stage that is not open yet.
    pub(crate) fn new(
        context: &SegmentContext,
        filter: Box<dyn AsyncFilter>,
        downstream: Chain,
        retry: RetryOptions,
    ) -> Self {
        let retry_state = RetryState::new(&retry, &context.metrics, &context.cx, &context.tasks);
        Self { filter, downstream, retry, retry_state }
    }

    /// Forks the stage, not open yet; `None` if one of its filters cannot be forked.
    pub(super) fn fork(&self, context: &SegmentContext) -> Option<Self> {
        Some(Self::new(context, self.filter.fork()?, self.downstream.fork()?, self.retry))
    }

    pub(super) async fn open(&mut self, context: &SegmentContext) -> Result<bool, Failure> {
        let is_open = self.retry_state.open(&mut self.filter, &context.idle).await?;
        self.downstream.set_health(if is_open { &Health::Ready } else { &Health::Ended });
        Ok(is_open)
    }

    /// Restores the inherited states of its filters.
    pub(super) async fn restore(&mut self, context: &SegmentContext) -> Result<(), Failure> {
        let state_handoff = &context.state_handoff;
        let restored = async {
            if let Some(state) = state_handoff.inherited(context.node).await {
                state_handoff.restored(
                    context.node,
                    state.len(),
                    self.filter.restore(&state, &context.cx).await,
                );
            }
        };
        tokio::select! {
            () = restored => {}
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        }
        restore(context, &mut self.downstream).await
    }

    /// Saves the states of its filters, if a successor was announced.
    pub(super) async fn save(&mut self, context: &SegmentContext) -> Result<(), Failure> {
        self.downstream.save(&context.state_handoff).await;
        if !context.state_handoff.is_requested() {
            return Ok(());
        }
        let state = tokio::select! {
            state = saved(context.metrics.name(), self.filter.save(&context.cx)) => state,
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        context.state_handoff.save(context.node, state);
        Ok(())
    }

    /// Processes a batch. `out` creates the output of each call.
    pub(super) async fn apply(
        &mut self,
        context: &SegmentContext,
        tracked: TrackedBatch,
        out: fn(&Batch) -> Output,
        permits: &mut EventPermits,
    ) -> Result<Processed, Failure> {
        let made = self.process(context, tracked, out, permits).await?;
        let mut emissions = Vec::with_capacity(made.emissions.len());
        for piece in made.emissions {
            match piece {
                Emission::Events { output: OutputName::Port(MAIN), tracked, .. } => {
                    emissions.extend(self.downstream.apply(context, context.node, tracked).await?);
                }
                other => emissions.push(other),
            }
        }
        Ok(Processed { emissions, deferred: made.deferred })
    }

    pub(super) async fn close(mut self, context: &SegmentContext) {
        if let Err(error) = self.filter.close(&context.cx).await {
            tracing::warn!(component = context.metrics.name(), "cannot be closed: {error}");
        }
        context.cx.tasks().joined().await;
        context.metrics.set_health(Health::Ended);
        self.downstream.set_health(&Health::Ended);
    }

    /// Calls the async filter until it succeeds, its tries are used up, or all clients of the batch are gone.
    async fn process(
        &mut self,
        context: &SegmentContext,
        tracked: TrackedBatch,
        out: fn(&Batch) -> Output,
        permits: &mut EventPermits,
    ) -> Result<Processed, Failure> {
        let (filter, retry_state) = (self.filter.as_mut(), &mut self.retry_state);
        let count = tracked.batch().len();
        loop {
            if tracked.batch().is_cancelled() {
                retry_state.gave_up();
                tracked.cancel(&context.metrics);
                return Ok(Processed { emissions: Vec::new(), deferred: None });
            }
            let mut out = out(tracked.batch()).in_attempt(retry_state.attempt());
            let busy = context.metrics.time_call();
            let result = tokio::select! {
                result = filter.process(tracked.batch(), &mut out, &context.cx) => result,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let result = result.and_then(|()| out.check());
            let given_up = match &result {
                Ok(()) => {
                    let from = out.take_deferred().filter(|from| (1..count).contains(from));
                    let deferred = from.map(|from| tracked.select(from..count));
                    let emissions = emit(context.node, &context.metrics, tracked, out);
                    // After failed tries, a last one that rejects everything is no success.
                    let all_given_up = retry_state.failures() > 0
                        && matches!(emissions.as_slice(), [Emission::Rejected { reasons, .. }] if reasons.len() == count);
                    if all_given_up {
                        retry_state.gave_up();
                    } else {
                        retry_state.succeeded();
                    }
                    return Ok(Processed { emissions, deferred });
                }
                Err(_) if tracked.batch().is_cancelled() => None,
                Err(error) if error.class() == Class::Reject => Some(error.to_string()),
                Err(error) => {
                    let tried = retry_state.failures() + 1;
                    permits.pause(tracked.batch());
                    let is_tried_again = retry_state.failed_for(error, tracked.batch()).await?;
                    permits.resume(context).await?;
                    (!is_tried_again).then(|| format!("given up after {tried} tries: {error}"))
                }
            };
            if let Some(reason) = given_up {
                let emissions = reject_all(context.node, &context.metrics, tracked, &reason);
                return Ok(Processed { emissions: emissions.into_iter().collect(), deferred: None });
            }
        }
    }
}

/// Restores the states of filters. May wait until the sources know where they resume.
pub(super) async fn restore(context: &SegmentContext, chain: &mut Chain) -> Result<(), Failure> {
    tokio::select! {
        () = chain.restore(&context.state_handoff) => Ok(()),
        () = context.hard_stop().cancelled() => Err(Failure::Stopped),
    }
}
