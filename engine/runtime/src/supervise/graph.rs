//! Supervisor of one graph: starts it, restarts it after a crash, drains it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tidegate_config::{Delivery, RetryOptions};
use tidegate_sdk::{Error, Tasks};
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dataflow::retry::backoff::Backoff;
use crate::dataflow::retry::span;
use crate::dataflow::spec::Spec;
use crate::dataflow::state_handoff::SavedStates;
use crate::dataflow::tasks::GraphTasks;
use crate::dataflow::wiring::{self, RunningSource};
use crate::metrics::status::{End, GraphState, GraphStatus, Health, StopCause, Undelivered};

/// Time that tasks have to end after a hard stop, before they are abandoned.
const HARD_STOP: Duration = Duration::from_secs(5);

/// Number of crashes in a row that make a graph fail for good.
const CRASHES: u32 = 5;

/// Length of a run that ends a row of crashes.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// Time at one batch after which a component is reported as slow.
const SLOW: Duration = Duration::from_secs(300);

/// Interval of the search for slow components.
const SLOW_CHECK: Duration = Duration::from_secs(15);

/// A graph that is kept running.
pub(crate) struct GraphSupervisor {
    name: String,
    spec: Spec,
    /// Cancelled when the graph has to stop without waiting for the drain timeout.
    aborted: CancellationToken,
    /// Cancelled when the last run has ended.
    over: CancellationToken,
    /// Start of counting.
    started: Instant,
    run: Mutex<Run>,
}

/// The current or last run.
struct Run {
    state: GraphState,
    sources: Vec<RunningSource>,
    restarts: u64,
    /// Cancelled when the run has failed and delivers what was read.
    winding_down: CancellationToken,
    /// Running time, once the graph is over.
    ran: Option<Duration>,
    /// States of its filters, once it has drained for a successor.
    saved: Option<SavedStates>,
}

impl GraphSupervisor {
    pub(crate) fn new(name: String, spec: Spec) -> Self {
        let run = Run {
            state: GraphState::Running,
            sources: Vec::new(),
            restarts: 0,
            winding_down: CancellationToken::new(),
            ran: None,
            saved: None,
        };
        let (aborted, over) = (CancellationToken::new(), CancellationToken::new());
        // The counters may have been taken over from a predecessor.
        let started =
            spec.component_metrics.iter().map(|metrics| metrics.started()).min().unwrap_or_else(Instant::now);
        Self { name, spec, aborted, over, started, run: Mutex::new(run) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Resolves when the graph is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// The end of the graph, once it is over.
    pub(crate) fn end(&self) -> Option<End> {
        match &self.run().state {
            GraphState::Over(end) => Some(end.clone()),
            _ => None,
        }
    }

    /// Returns whether the run has failed and only delivers what was read before.
    pub(crate) fn is_winding_down(&self) -> bool {
        self.run().winding_down.is_cancelled()
    }

    /// Asks the graph to deliver what was read, and to stop.
    pub(crate) fn drain(&self) {
        let mut run = self.run();
        if matches!(run.state, GraphState::Running) {
            run.state = GraphState::Draining;
        }
        drop(run);
        self.spec.stopping.cancel();
    }

    /// Drains the graph for a successor: its filters save their states.
    pub(crate) fn drain_for_successor(&self) {
        self.spec.state_outbox.request();
        self.drain();
    }

    /// The states of its filters after [`drain_for_successor`](Self::drain_for_successor); `None` if events that the
    /// filters have seen were not delivered.
    pub(crate) fn saved(&self) -> Option<SavedStates> {
        self.run().saved.clone()
    }

    /// Stops the graph at once.
    pub(crate) fn abort(&self) {
        self.drain();
        self.aborted.cancel();
    }

    pub(crate) fn status(&self) -> GraphStatus {
        let run = self.run();
        GraphStatus {
            name: self.name.clone(),
            state: run.state.clone(),
            components: self.spec.component_metrics.iter().map(|metrics| metrics.status()).collect(),
            in_flight_bytes: self.spec.budget.used(),
            in_flight_events: undelivered(&run.sources).events,
            restarts: run.restarts,
            ran: run.ran.unwrap_or_else(|| self.started.elapsed()),
        }
    }

    /// Runs the graph until it is over.
    pub(crate) async fn supervise(self: Arc<Self>) {
        // Cancelled even if this task panics, so that a waiting reload ends.
        let _over = self.over.clone().drop_guard();
        let mut backoff = Backoff::new(&RetryOptions::default());
        let end = loop {
            let started = Instant::now();
            let failure = match self.run_once().await {
                Ok(end) => break end,
                Err(failure) => failure,
            };
            if started.elapsed() >= GOOD_RUN {
                backoff.reset();
            }
            let reason = match failure {
                Failure::Fatal(reason) => break End::Failed(reason),
                Failure::Undeliverable(reason) => break self.cut_short(StopCause::Undeliverable(reason)),
                Failure::Stopped if self.aborted.is_cancelled() => break self.cut_short(StopCause::Abort),
                Failure::Stopped => break self.cut_short(StopCause::DrainTimeout),
                Failure::Replay(reason) => {
                    tracing::warn!(pipeline = self.name, "restarts: {reason}");
                    self.restarting(reason);
                    continue;
                }
                Failure::Crashed(reason) => reason,
            };
            let pause = backoff.pause(&Error::retry(""), rand::random());
            if backoff.failures() >= CRASHES || self.spec.stopping.is_cancelled() {
                break End::Failed(reason);
            }
            tracing::error!(pipeline = self.name, "restarts in {}: {reason}", span(pause));
            self.restarting(reason);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.spec.stopping.cancelled() => {}
            }
        };
        match &end {
            End::Failed(reason) => tracing::error!(pipeline = self.name, "failed: {reason}"),
            other => tracing::debug!(pipeline = self.name, "over: {other:?}"),
        }
        let mut run = self.run();
        run.state = GraphState::Over(end);
        run.ran = Some(self.started.elapsed());
    }

    async fn run_once(&self) -> Result<End, Failure> {
        let tasks = GraphTasks::new(&self.spec.stopping);
        self.run().winding_down = tasks.winding_down().clone();
        self.spec.component_metrics.iter().for_each(|metrics| metrics.unblock());
        drop(self.spec.state_outbox.take());
        let sources = match wiring::start(&self.spec, &tasks) {
            Ok(sources) => sources,
            Err(failure) => {
                tasks.fail(Failure::Stopped);
                self.join(&tasks).await;
                return Err(failure);
            }
        };
        let storing = Tasks::new();
        let run_over = CancellationToken::new();
        for RunningSource { progress, checkpoint } in &sources {
            let (progress, checkpoint) = (Arc::clone(progress), Arc::clone(checkpoint));
            let over = run_over.clone();
            storing.spawn(async move { progress.keep_stored(checkpoint, over).await });
        }
        self.running(&sources);
        self.spec.start_over.store(false, Ordering::Relaxed);
        tracing::info!(pipeline = self.name, "running");
        self.watch(&tasks).await;
        run_over.cancel();
        storing.joined().await;
        if let Some(failure) = tasks.failure() {
            return Err(failure);
        }
        if self.spec.stopping.is_cancelled() {
            self.save(&sources);
            return Ok(End::Drained);
        }
        self.clear_checkpoints(&sources);
        Ok(End::Ended)
    }

    /// Keeps the states of the filters with the positions of the sources, now that everything that was read has ended.
    fn save(&self, sources: &[RunningSource]) {
        if self.spec.state_outbox.is_requested() {
            let positions = sources.iter().map(|source| source.progress.positions());
            self.run().saved = Some(SavedStates::new(self.spec.state_outbox.take(), positions));
        }
    }

    fn running(&self, sources: &[RunningSource]) {
        let mut run = self.run();
        run.sources = sources.to_vec();
        run.state =
            if self.spec.stopping.is_cancelled() { GraphState::Draining } else { GraphState::Running };
    }

    fn restarting(&self, reason: String) {
        let mut run = self.run();
        run.state = GraphState::Restarting(reason);
        run.restarts += 1;
    }

    /// Waits until every task has ended or was stopped.
    async fn watch(&self, tasks: &GraphTasks) {
        let mut slow_check = tokio::time::interval(SLOW_CHECK);
        let drained = self.drain_deadline(tasks);
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = tasks.joined() => return,
                () = tasks.hard_stop().cancelled() => return self.join(tasks).await,
                () = &mut drained => {
                    tasks.fail(Failure::Stopped);
                    return self.join(tasks).await;
                }
                _ = slow_check.tick() => self.report_slow(),
            }
        }
    }

    /// Resolves when a drain has taken too long.
    async fn drain_deadline(&self, tasks: &GraphTasks) {
        tokio::select! {
            () = self.spec.stopping.cancelled() => {}
            () = tasks.in_time().cancelled() => {}
        }
        let deadline = tokio::time::Instant::now() + *self.spec.settings.drain_timeout;
        tasks.set_deadline(deadline);
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = self.aborted.cancelled() => {}
        }
    }

    async fn join(&self, tasks: &GraphTasks) {
        if tokio::time::timeout(HARD_STOP, tasks.joined()).await.is_err() {
            tracing::warn!(pipeline = self.name, "a component does not stop, and is abandoned");
        }
    }

    fn report_slow(&self) {
        for metrics in &self.spec.component_metrics {
            if let Some(busy) = metrics.busy_for().filter(|busy| *busy >= SLOW && metrics.is_ready()) {
                let reason = format!("has been at one batch for {} s", busy.as_secs());
                tracing::warn!(component = metrics.name(), "{reason}");
                metrics.set_health(Health::Waiting(reason));
            }
        }
    }

    /// Clears the positions of input that was read to its end, so that the next run reads it from its start.
    fn clear_checkpoints(&self, sources: &[RunningSource]) {
        if self.spec.settings.delivery == Delivery::AtLeastOnce {
            for source in sources.iter().filter(|source| !source.progress.keeps_position) {
                if let Err(error) = source.checkpoint.clear() {
                    tracing::warn!(pipeline = self.name, "a checkpoint cannot be removed: {error}");
                }
            }
        }
    }

    fn cut_short(&self, cause: StopCause) -> End {
        let undelivered = undelivered(&self.run().sources);
        if undelivered.events == 0 { End::Drained } else { End::CutShort { cause, undelivered } }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock()
    }
}

/// Events of these sources that were read and have not ended.
fn undelivered(sources: &[RunningSource]) -> Undelivered {
    let mut sum = Undelivered::default();
    for source in sources {
        let in_flight = source.progress.in_flight();
        sum.events += in_flight.events;
        sum.replayed += in_flight.replayable;
        sum.unanswered += in_flight.awaited;
    }
    sum
}
