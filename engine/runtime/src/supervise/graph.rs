//! One graph, kept running: started, watched, started anew after a crash, drained.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_config::{Delivery, RetryOptions};
use tidegate_sdk::{Error, Tasks};
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dataflow::retry::backoff::Backoff;
use crate::dataflow::spec::Spec;
use crate::dataflow::state_handoff::SavedStates;
use crate::dataflow::tasks::GraphTasks;
use crate::dataflow::wiring::{self, RunningSources};
use crate::metrics::status::{End, GraphState, GraphStatus, Health};

/// How long tasks may take to end after a hard stop before they are left alone.
const HARD_STOP: Duration = Duration::from_secs(5);

/// How many crashes in a row make a graph fail for good.
const CRASHES: u32 = 5;

/// A run that lasted this long ends a row of crashes.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// A component that has been at one batch for this long is worth a warning.
const SLOW: Duration = Duration::from_secs(300);

/// How often slow components are looked for.
const LOOK: Duration = Duration::from_secs(15);

/// A graph that is kept running.
pub(crate) struct GraphSupervisor {
    name: String,
    spec: Spec,
    /// Cancelled when the drain has taken too long, or nobody wants to wait for it.
    deadline: CancellationToken,
    /// Cancelled when the last run has ended.
    over: CancellationToken,
    /// Since when its counts count.
    started: Instant,
    now: Mutex<Now>,
}

struct Now {
    state: GraphState,
    sources: RunningSources,
    restarts: u64,
    /// Cancelled when the run has failed, and delivers what was read.
    winding_down: CancellationToken,
    /// How long it ran, once it is over.
    ran: Option<Duration>,
    /// What its filters remember, once it has drained for another to take its place.
    saved: Option<SavedStates>,
}

impl GraphSupervisor {
    pub(crate) fn new(name: String, spec: Spec) -> Self {
        let now = Now {
            state: GraphState::Running,
            sources: RunningSources::new(),
            restarts: 0,
            winding_down: CancellationToken::new(),
            ran: None,
            saved: None,
        };
        let (deadline, over) = (CancellationToken::new(), CancellationToken::new());
        // The counts may go on from a graph whose place this one takes.
        let started =
            spec.component_metrics.iter().map(|metrics| metrics.started()).min().unwrap_or_else(Instant::now);
        Self { name, spec, deadline, over, started, now: Mutex::new(now) }
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

    /// How it ended, if it is over.
    pub(crate) fn end(&self) -> Option<End> {
        match &self.now().state {
            GraphState::Over(end) => Some(end.clone()),
            _ => None,
        }
    }

    /// Whether the run has failed, and only delivers what was read before.
    pub(crate) fn is_winding_down(&self) -> bool {
        self.now().winding_down.is_cancelled()
    }

    /// Asks the graph to finish what is in flight.
    pub(crate) fn drain(&self) {
        let mut now = self.now();
        if matches!(now.state, GraphState::Running) {
            now.state = GraphState::Draining;
        }
        drop(now);
        self.spec.stopping.cancel();
    }

    /// The same for another graph to take its place: its filters save what they remember.
    pub(crate) fn drain_for_successor(&self) {
        self.spec.state_outbox.want();
        self.drain();
    }

    /// What its filters remembered when it [gave way](Self::give_way); `None` if events may have been left that
    /// they have seen.
    pub(crate) fn saved(&self) -> Option<SavedStates> {
        self.now().saved.clone()
    }

    /// Ends the graph at once.
    pub(crate) fn abort(&self) {
        self.drain();
        self.deadline.cancel();
    }

    pub(crate) fn status(&self) -> GraphStatus {
        let now = self.now();
        let (in_flight_events, _) = in_flight(&now.sources);
        GraphStatus {
            name: self.name.clone(),
            state: now.state.clone(),
            components: self.spec.component_metrics.iter().map(|metrics| metrics.status()).collect(),
            in_flight_bytes: self.spec.budget.used(),
            in_flight_events,
            restarts: now.restarts,
            ran: now.ran.unwrap_or_else(|| self.started.elapsed()),
        }
    }

    /// Runs the graph until it is over.
    pub(crate) async fn supervise(self: Arc<Self>) {
        // Told even if this task panics, so that nobody waits for ever.
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
                Failure::Stopped => break self.cut_short(),
                Failure::Replay(reason) => {
                    tracing::warn!(pipeline = self.name, "starts anew: {reason}");
                    self.crashed(reason);
                    continue;
                }
                Failure::Crashed(reason) => reason,
            };
            let pause = backoff.pause(&Error::retry(""), rand::random());
            if backoff.failures() >= CRASHES || self.spec.stopping.is_cancelled() {
                break End::Failed(reason);
            }
            tracing::error!(pipeline = self.name, "starts anew in {:.1} s: {reason}", pause.as_secs_f64());
            self.crashed(reason);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.spec.stopping.cancelled() => {}
            }
        };
        match &end {
            End::Failed(reason) => tracing::error!(pipeline = self.name, "failed: {reason}"),
            other => tracing::debug!(pipeline = self.name, "over: {other:?}"),
        }
        let mut now = self.now();
        now.state = GraphState::Over(end);
        now.ran = Some(self.started.elapsed());
    }

    async fn run_once(&self) -> Result<End, Failure> {
        let tasks = GraphTasks::new(&self.spec.stopping);
        self.now().winding_down = tasks.winding_down().clone();
        drop(self.spec.state_outbox.take());
        let failed = CancellationToken::new();
        let sources = wiring::start(&self.spec, &tasks, &failed);
        let sources = match sources {
            Ok(sources) => sources,
            Err(failure) => {
                tasks.fail(Failure::Stopped);
                self.join(&tasks).await;
                return Err(failure);
            }
        };
        let keepers = Tasks::new();
        let keepers_over = CancellationToken::new();
        for (progress, checkpoint) in &sources {
            let (progress, checkpoint) = (Arc::clone(progress), Arc::clone(checkpoint));
            let over = keepers_over.clone();
            keepers.spawn(async move { progress.keep_stored(checkpoint, over).await });
        }
        self.started(&sources);
        self.spec.start_over.store(false, Ordering::Relaxed);
        tracing::info!(pipeline = self.name, "running");
        self.watch(&tasks, &failed).await;
        keepers_over.cancel();
        keepers.joined().await;
        if let Some(failure) = tasks.failure() {
            return Err(failure);
        }
        if self.spec.stopping.is_cancelled() {
            self.save(&sources);
            return Ok(End::Drained);
        }
        self.forget(&sources);
        Ok(End::Ended)
    }

    /// Everything that was read has ended, so what the filters remember goes with where the sources are.
    fn save(&self, sources: &RunningSources) {
        if self.spec.state_outbox.is_wanted() {
            let places = sources.iter().map(|(progress, _)| progress.places());
            self.now().saved = Some(SavedStates::new(self.spec.state_outbox.take(), places));
        }
    }

    fn started(&self, sources: &RunningSources) {
        let mut now = self.now();
        now.sources.clone_from(sources);
        now.state = match self.spec.stopping.is_cancelled() {
            true => GraphState::Draining,
            false => GraphState::Running,
        };
    }

    fn crashed(&self, reason: String) {
        let mut now = self.now();
        now.state = GraphState::Restarting(reason);
        now.restarts += 1;
    }

    /// Waits until every task has ended, by itself or because it has to.
    async fn watch(&self, tasks: &GraphTasks, failed: &CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let deadline = self.drain_deadline(tasks);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = tasks.joined() => return,
                () = tasks.hard_stop().cancelled() => return self.join(tasks).await,
                () = failed.cancelled(), if !tasks.winding_down().is_cancelled() => {
                    // A task that crashed drops its batches first and tells why right after.
                    tokio::select! {
                        () = tasks.hard_stop().cancelled() => {}
                        () = tasks.winding_down().cancelled() => continue,
                        () = tokio::time::sleep(Duration::from_millis(200)) => {}
                    }
                    tasks.fail(Failure::Crashed("a batch was dropped without an answer".into()));
                }
                () = &mut deadline => {
                    tasks.fail(Failure::Stopped);
                    return self.join(tasks).await;
                }
                _ = look.tick() => self.warn_of_slow(),
            }
        }
    }

    /// Resolves when a drain has taken too long.
    async fn drain_deadline(&self, tasks: &GraphTasks) {
        tokio::select! {
            () = self.spec.stopping.cancelled() => {}
            () = tasks.in_time().cancelled() => {}
        }
        tokio::select! {
            () = tokio::time::sleep(*self.spec.settings.drain_timeout) => {}
            () = self.deadline.cancelled() => {}
        }
    }

    async fn join(&self, tasks: &GraphTasks) {
        if tokio::time::timeout(HARD_STOP, tasks.joined()).await.is_err() {
            tracing::warn!(pipeline = self.name, "a component does not stop, and is left alone");
        }
    }

    fn warn_of_slow(&self) {
        for metrics in &self.spec.component_metrics {
            if let Some(busy) = metrics.busy_for().filter(|busy| *busy >= SLOW && metrics.is_ready()) {
                let reason = format!("has been at one batch for {} s", busy.as_secs());
                tracing::warn!(component = metrics.name(), "{reason}");
                metrics.set_health(Health::Waiting(reason));
            }
        }
    }

    /// Clears the positions of input that is read to its end: the next run reads it from its start.
    fn forget(&self, sources: &RunningSources) {
        if self.spec.settings.delivery == Delivery::AtLeastOnce {
            for (_, checkpoint) in sources.iter().filter(|(progress, _)| !progress.keeps_place) {
                if let Err(error) = checkpoint.clear() {
                    tracing::warn!(pipeline = self.name, "a checkpoint cannot be removed: {error}");
                }
            }
        }
    }

    fn cut_short(&self) -> End {
        let (undelivered, replayed) = in_flight(&self.now().sources);
        match undelivered {
            0 => End::Drained,
            _ => End::DeadlinePassed { undelivered, replayed },
        }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_flight(sources: &RunningSources) -> (u64, u64) {
    sources
        .iter()
        .map(|(progress, _)| progress.in_flight())
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
