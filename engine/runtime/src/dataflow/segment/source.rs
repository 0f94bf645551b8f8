//! A source and the plain filters downstream of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tidegate_config::RetryOptions;
use tidegate_sdk::{Class, Source, SourceBatch};
use tokio_util::sync::CancellationToken;

use crate::dataflow::chain::Chain;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::failure::Failure;
use crate::dataflow::retry::RetryState;
use crate::dataflow::tasks::panicked;
use crate::delivery::ack_coordinator::AckCoordinator;
use crate::delivery::budget::MemoryBudget;
use crate::delivery::checkpoint::{Checkpoint, StoredPosition};
use crate::delivery::source_progress::SourceProgress;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// True if the graph restarts after a failure of its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    Yes,
    No,
}

/// A source and everything that it needs to run.
pub(crate) struct SourceReader {
    pub(crate) context: SegmentContext,
    pub(crate) source: Box<dyn Source>,
    pub(crate) chain: Chain,
    pub(crate) progress: Arc<SourceProgress>,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) budget: MemoryBudget,
    /// Collects the outcome of its batches, if the sink acknowledges them.
    pub(crate) coordinator: Option<Arc<AckCoordinator>>,
    /// Cancelled when the source has to stop reading.
    pub(crate) stopping: CancellationToken,
}

impl SourceReader {
    /// Reads to the end of the input, or until the pipeline drains; then waits until everything that was read has ended.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let hard_stop = self.context.hard_stop().clone();
        let resumed = self.resume().await?;
        if !resumed {
            self.context.state_handoff.resumed(self.context.node, None);
        }
        let cx = self.context.cx.clone();
        let options = RetryOptions::default();
        let mut retry_state = RetryState::new(&options, &self.context.metrics, &cx, &self.context.tasks);
        self.chain.set_health(&Health::Ready);
        let mut failure = None;
        if resumed {
            match retry_state.open(&mut self.source, &self.stopping).await {
                Ok(false) => {}
                Ok(true) => {
                    self.progress.set_committer(self.source.committer());
                    failure = self.read(&mut retry_state).await?;
                }
                Err(Failure::Stopped) => return Err(Failure::Stopped),
                Err(fatal) => failure = Some(fatal),
            }
        }
        let failed = failure.map(|failure| self.failed(failure));
        self.chain.save(&self.context.state_handoff).await;
        let Self { context, mut source, chain, progress, checkpoint, .. } = self;
        let (cx, metrics) = (context.cx.clone(), Arc::clone(&context.metrics));
        chain.set_health(&Health::Ended);
        // Dropping the edges ends the input of the segments downstream.
        drop((context, chain));
        tokio::select! {
            () = progress.all_ended() => {}
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        // The last positions are committed before the source is closed.
        tokio::select! {
            stored = progress.store(&checkpoint) => if let Err(error) = stored {
                tracing::error!(component = metrics.name(), "the position cannot be stored: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        if failed == Some(Restart::Yes) {
            // A source that panicked is not called again.
            return Ok(());
        }
        tokio::select! {
            closed = source.close(&cx) => if let Err(error) = closed {
                tracing::warn!(component = metrics.name(), "cannot be closed: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        cx.tasks().joined().await;
        if failed.is_none() {
            metrics.set_health(Health::Ended);
        }
        Ok(())
    }

    /// Ends the run with this failure of the source, after everything that was read is delivered.
    fn failed(&self, failure: Failure) -> Restart {
        let metrics = &self.context.metrics;
        let (restart, reason) = match &failure {
            Failure::Crashed(reason) | Failure::Replay(reason) => (Restart::Yes, reason.clone()),
            Failure::Fatal(reason) => (Restart::No, reason.clone()),
            Failure::Stopped | Failure::Undeliverable(_) => return Restart::No,
        };
        let events = self.progress.in_flight().events;
        if events > 0 {
            tracing::warn!(
                component = metrics.name(),
                events,
                "stops reading, and delivers what was read: {reason}"
            );
        }
        // Before the health: a reload that sees the health must also see that the run winds down.
        self.context.tasks.wind_down(failure);
        metrics.set_health(Health::Unhealthy(reason));
        restart
    }

    /// Finds the positions at which reading resumes. Returns false if the pipeline drains first.
    async fn resume(&mut self) -> Result<bool, Failure> {
        let name = self.context.metrics.name();
        let mut positions = self.checkpoint.load().map_err(|problem| Failure::fatal(name, problem))?;
        if let Some(sink_progress) = &self.context.sink_progress {
            tokio::select! {
                () = sink_progress.all_claimed(name) => {}
                () = self.stopping.cancelled() => return Ok(false),
                () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
            }
            positions =
                sink_progress.resume(name, &positions).map_err(|problem| Failure::fatal(name, problem))?;
        }
        let position = |(partition, stored): (&String, &StoredPosition)| {
            stored.record.position.clone().map(|position| (partition.clone(), position))
        };
        let resume = positions.iter().filter_map(position).collect();
        self.context.cx = self.context.cx.clone().with_resume(resume);
        self.context.state_handoff.resumed(self.context.node, Some(&positions));
        self.progress.resume(positions);
        self.chain.restore(&self.context.state_handoff).await;
        Ok(true)
    }

    /// Reads to the end of the input. Returns a failure of the source as a value, because everything that was read is
    /// delivered first.
    async fn read(&mut self, retry_state: &mut RetryState) -> Result<Option<Failure>, Failure> {
        loop {
            let since = Instant::now();
            let next = AssertUnwindSafe(self.source.next(&self.context.cx)).catch_unwind();
            let next = tokio::select! {
                next = next => next,
                () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            self.context.metrics.waited_upstream(since);
            let next = match next {
                Ok(next) => next,
                Err(panic) => return Ok(Some(panicked(&*panic))),
            };
            match next {
                Ok(Some(read)) => {
                    retry_state.succeeded();
                    self.pass(read).await?;
                }
                Ok(None) => return Ok(None),
                Err(error) if error.class() != Class::Fatal && self.context.cx.is_stopping() => {
                    tracing::warn!(component = self.context.metrics.name(), "stops reading: {error}");
                    return Ok(None);
                }
                Err(error) => match retry_state.failed(&error).await {
                    Ok(_) => {}
                    Err(Failure::Stopped) => return Err(Failure::Stopped),
                    Err(failure) => return Ok(Some(failure)),
                },
            }
        }
    }

    /// Passes one batch through the filters and downstream, after the budget allows it.
    async fn pass(&mut self, read: SourceBatch) -> Result<(), Failure> {
        let replaced = read.is_replaced_input();
        let SourceBatch { batch, rejected, ack_handles, client, done } = read;
        if replaced {
            self.progress.replaced_input(&batch.runs()[0].origin.partition);
        }
        let batch = self.progress.stamp(batch, client.as_ref());
        self.context.metrics.record_in(&batch);
        self.context.metrics.record_out(&batch);
        let since = Instant::now();
        let admission = async {
            let permit = match &self.coordinator {
                Some(coordinator) => Some((coordinator, coordinator.admit().await)),
                None => None,
            };
            (self.budget.charge(batch.cost()).await, permit)
        };
        let (charge, permit) = tokio::select! {
            admission = admission => admission,
            () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        self.context.metrics.waited_downstream(since);
        let on_ended = Arc::clone(&self.progress).reading(&batch, charge, done);
        let tracked = match (permit, ack_handles) {
            (None, _) => TrackedBatch::root(batch, on_ended),
            (Some((coordinator, permit)), Some(ack_handles)) => {
                coordinator.begin(batch, ack_handles, permit, on_ended)
            }
            (Some(_), None) => {
                let reason = "a batch came without the handles that the sink needs to acknowledge it";
                return Err(Failure::fatal(self.context.metrics.name(), reason));
            }
        };
        if !rejected.is_empty() {
            let refused = self.context.router.refused(self.context.node, tracked.share(), rejected).await;
            refused.map_err(|failure| self.context.fail(failure))?;
        }
        if tracked.batch().is_empty() {
            tracked.done();
            return Ok(());
        }
        let emissions = self.chain.apply(&self.context, self.context.node, tracked).await;
        let emissions = emissions.map_err(|failure| self.context.fail(failure))?;
        self.context.send(emissions).await
    }
}
