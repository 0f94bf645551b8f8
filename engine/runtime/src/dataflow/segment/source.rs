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

/// Whether the graph is restarted after a failure of its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    Yes,
    No,
}

/// A source with what it needs to run.
pub(crate) struct SourceReader {
    pub(crate) context: SegmentContext,
    pub(crate) source: Box<dyn Source>,
    pub(crate) chain: Chain,
    pub(crate) lane: Arc<SourceProgress>,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) budget: MemoryBudget,
    /// Where what becomes of its batches is gathered, if the sink acknowledges for it.
    pub(crate) coordinator: Option<Arc<AckCoordinator>>,
    /// Cancelled when the pipeline drains.
    pub(crate) stopping: CancellationToken,
}

impl SourceReader {
    /// Reads to the end of the input, or until the pipeline drains; then waits until everything that was read
    /// has ended.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let hard_stop = self.context.hard_stop().clone();
        let resumed = self.resume().await?;
        if !resumed {
            self.context.state_handoff.resumed(self.context.node, None);
        }
        let cx = self.context.cx.clone();
        let mut retry_state =
            RetryState::new(&RetryOptions::default(), &self.context.metrics, &cx, &hard_stop);
        self.chain.set_health(&Health::Ready);
        let mut failure = None;
        if resumed {
            match retry_state.open(&mut self.source, &self.stopping).await {
                Ok(false) => {}
                Ok(true) => {
                    self.lane.set_committer(self.source.committer());
                    failure = self.read(&mut retry_state).await?;
                }
                Err(Failure::Stopped) => return Err(Failure::Stopped),
                Err(fatal) => failure = Some(fatal),
            }
        }
        let failed = failure.map(|failure| self.failed(failure));
        self.chain.save(&self.context.state_handoff).await;
        let Self { context, mut source, chain, lane, checkpoint, .. } = self;
        // Whatever reads from here sees the end when the edges are dropped.
        let (cx, metrics) = (context.cx.clone(), Arc::clone(&context.metrics));
        chain.set_health(&Health::Ended);
        drop((context, chain));
        tokio::select! {
            () = lane.settled() => {}
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        // The source hears what is safe as long as it is there to hear it.
        tokio::select! {
            stored = lane.store(&checkpoint) => if let Err(error) = stored {
                tracing::error!(component = metrics.name(), "the position cannot be stored: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        if failed == Some(Restart::Yes) {
            // It panicked, so nothing more can be asked of it.
            return Ok(());
        }
        tokio::select! {
            closed = source.close(&cx) => if let Err(error) = closed {
                tracing::warn!(component = metrics.name(), "closing: {error}");
            },
            () = hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        cx.tasks().joined().await;
        if failed.is_none() {
            metrics.set_health(Health::Ended);
        }
        Ok(())
    }

    /// Ends the run with this failure of the source, as soon as everything that was read is delivered.
    fn failed(&self, failure: Failure) -> Restart {
        let metrics = &self.context.metrics;
        let (restart, reason) = match &failure {
            Failure::Crashed(reason) | Failure::Replay(reason) => (Restart::Yes, reason),
            Failure::Fatal(reason) => (Restart::No, reason),
            Failure::Stopped => return Restart::No,
        };
        if self.lane.in_flight().0 > 0 {
            let events = self.lane.in_flight().0;
            tracing::warn!(
                component = metrics.name(),
                events,
                "stops reading, and delivers what was read: {reason}"
            );
        }
        metrics.set_health(Health::Unhealthy(reason.clone()));
        self.context.tasks.wind_down(failure);
        restart
    }

    /// Finds out where to go on. False if the pipeline drains before that is known.
    async fn resume(&mut self) -> Result<bool, Failure> {
        let name = self.context.metrics.name();
        let mut places = self.checkpoint.load().map_err(|problem| Failure::fatal(name, problem))?;
        if let Some(sink_progress) = &self.context.sink_progress {
            tokio::select! {
                () = sink_progress.all_claimed(name) => {}
                () = self.stopping.cancelled() => return Ok(false),
                () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
            }
            places = sink_progress.resume(name, &places).map_err(|problem| Failure::fatal(name, problem))?;
        }
        let position = |(partition, place): (&String, &StoredPosition)| {
            place.record.position.clone().map(|position| (partition.clone(), position))
        };
        self.context.cx = self.context.cx.clone().with_resume(places.iter().filter_map(position).collect());
        self.context.state_handoff.resumed(self.context.node, Some(&places));
        self.lane.resume(places);
        self.chain.restore(&self.context.state_handoff).await;
        Ok(true)
    }

    /// Reads to the end. A failure of the source itself is returned beside, because what was read is delivered first.
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
                Err(error) => match retry_state.again(&error).await {
                    Ok(_) => {}
                    Err(Failure::Stopped) => return Err(Failure::Stopped),
                    Err(failure) => return Ok(Some(failure)),
                },
            }
        }
    }

    /// Sends one batch on its way, once the budget allows it.
    async fn pass(&mut self, read: SourceBatch) -> Result<(), Failure> {
        let replaced = read.is_replaced_input();
        let SourceBatch { batch, rejected, ack_handles, client, done } = read;
        if replaced {
            self.lane.replaced_input(&batch.runs()[0].origin.partition);
        }
        let batch = self.lane.stamp(batch, client.as_ref());
        self.context.metrics.record_in(&batch);
        self.context.metrics.record_out(&batch);
        let since = Instant::now();
        let room = async {
            let room = match &self.coordinator {
                Some(coordinator) => Some((coordinator, coordinator.room().await)),
                None => None,
            };
            (self.budget.charge(batch.cost()).await, room)
        };
        let (charge, room) = tokio::select! {
            room = room => room,
            () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        self.context.metrics.waited_downstream(since);
        let settle = Arc::clone(&self.lane).reading(&batch, charge, done);
        let tracked = match (room, ack_handles) {
            (None, _) => TrackedBatch::root(batch, settle),
            (Some((coordinator, room)), Some(ack_handles)) => {
                coordinator.begin(batch, ack_handles, room, settle)
            }
            (Some(_), None) => {
                let reason = "a batch came without what the sink is to acknowledge it with";
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
