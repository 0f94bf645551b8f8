//! A filter that waits: tried until a batch is through; then the plain filters downstream are called.

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{AsyncFilter, Batch, Class, Output};

use super::permits::EventPermits;
use super::workers::restore;
use crate::dataflow::chain::Chain;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::emission::{Emission, reject_all, settle};
use crate::dataflow::failure::Failure;
use crate::dataflow::plan::MAIN;
use crate::dataflow::retry::RetryState;
use crate::dataflow::state_handoff::saved;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// A filter that waits, and the plain ones behind it.
pub(crate) struct AsyncStage {
    filter: Box<dyn AsyncFilter>,
    behind: Chain,
    retry: RetryOptions,
    retry_state: RetryState,
}

/// What became of a parcel in one call.
pub(super) struct Processed {
    pub(super) emissions: Vec<Emission>,
    /// The events that the filter has left for the next call.
    pub(super) left: Option<TrackedBatch>,
}

impl AsyncStage {
    /// One that is not open yet.
    pub(crate) fn new(
        context: &SegmentContext,
        filter: Box<dyn AsyncFilter>,
        behind: Chain,
        retry: RetryOptions,
    ) -> Self {
        let retry_state = RetryState::new(&retry, &context.metrics, &context.cx, context.hard_stop());
        Self { filter, behind, retry, retry_state }
    }

    /// Another that does the same, not open yet; `None` if one of the filters cannot be forked.
    pub(super) fn fork(&self, context: &SegmentContext) -> Option<Self> {
        Some(Self::new(context, self.filter.fork()?, self.behind.fork()?, self.retry))
    }

    pub(super) async fn open(&mut self, context: &SegmentContext) -> Result<bool, Failure> {
        let is_open = self.retry_state.open(&mut self.filter, &context.idle).await?;
        self.behind.set_health(if is_open { &Health::Ready } else { &Health::Ended });
        Ok(is_open)
    }

    /// Gives it, and those behind it, back what they remember.
    pub(super) async fn restore(&mut self, context: &SegmentContext) -> Result<(), Failure> {
        let state_handoff = &context.state_handoff;
        let restored = async {
            if let Some(state) = state_handoff.before(context.node).await {
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
        restore(context, &mut self.behind).await
    }

    /// Saves what they remember, if that is wanted.
    pub(super) async fn save(&mut self, context: &SegmentContext) -> Result<(), Failure> {
        self.behind.save(&context.state_handoff).await;
        if !context.state_handoff.are_wanted() {
            return Ok(());
        }
        let state = tokio::select! {
            state = saved(context.metrics.name(), self.filter.save(&context.cx)) => state,
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        context.state_handoff.save(context.node, state);
        Ok(())
    }

    /// What becomes of a parcel. The filter puts it out into what `out` makes.
    pub(super) async fn apply(
        &mut self,
        context: &SegmentContext,
        tracked: TrackedBatch,
        out: fn(&Batch) -> Output,
        share: &mut EventPermits,
    ) -> Result<Processed, Failure> {
        let made = self.process(context, tracked, out, share).await?;
        let mut emissions = Vec::with_capacity(made.emissions.len());
        for piece in made.emissions {
            match piece {
                Emission::Events { output: OutputName::Port(MAIN), tracked, .. } => {
                    emissions.extend(self.behind.apply(context, context.node, tracked).await?);
                }
                other => emissions.push(other),
            }
        }
        Ok(Processed { emissions, left: made.left })
    }

    pub(super) async fn close(mut self, context: &SegmentContext) {
        if let Err(error) = self.filter.close(&context.cx).await {
            tracing::warn!(component = context.metrics.name(), "closing: {error}");
        }
        context.cx.tasks().joined().await;
        context.metrics.set_health(Health::Ended);
        self.behind.set_health(&Health::Ended);
    }

    /// What the filter makes of one parcel, tried until it goes through, the tries are used up, or nobody waits for
    /// it any more.
    async fn process(
        &mut self,
        context: &SegmentContext,
        tracked: TrackedBatch,
        out: fn(&Batch) -> Output,
        share: &mut EventPermits,
    ) -> Result<Processed, Failure> {
        let (filter, retry_state) = (self.filter.as_mut(), &mut self.retry_state);
        let count = tracked.batch().len();
        loop {
            if tracked.batch().is_cancelled() {
                retry_state.cancelled();
                tracked.cancel(&context.metrics);
                return Ok(Processed { emissions: Vec::new(), left: None });
            }
            let mut out = out(tracked.batch()).in_attempt(retry_state.attempt());
            let busy = context.metrics.busy();
            let result = tokio::select! {
                result = filter.process(tracked.batch(), &mut out, &context.cx) => result,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let result = result.and_then(|()| out.check());
            let given_up = match &result {
                Ok(()) => {
                    retry_state.succeeded();
                    let from = out.take_deferred().filter(|from| (1..count).contains(from));
                    let left = from.map(|from| tracked.select(from..count));
                    return Ok(Processed {
                        emissions: settle(context.node, &context.metrics, tracked, out),
                        left,
                    });
                }
                Err(_) if tracked.batch().is_cancelled() => None,
                Err(error) if error.class() == Class::Reject => Some(error.to_string()),
                Err(error) => {
                    let tried = retry_state.failures() + 1;
                    share.pause(tracked.batch());
                    let again = retry_state.again_for(error, tracked.batch()).await?;
                    share.resume(context).await?;
                    (!again).then(|| format!("given up after {tried} tries: {error}"))
                }
            };
            if let Some(reason) = given_up {
                let emissions = reject_all(context.node, &context.metrics, tracked, &reason);
                return Ok(Processed { emissions: emissions.into_iter().collect(), left: None });
            }
        }
    }
}
