//! Trying again: what the engine does around every call of a plugin that can fail.

pub(crate) mod backoff;

use std::sync::Arc;
use std::time::Duration;

use tidegate_config::RetryOptions;
use tidegate_sdk::{AsyncFilter, Attempt, Batch, Class, Cx, Error, Rejection, Sink, Source, async_trait};
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dataflow::retry::backoff::Backoff;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

/// How long a component stays unready after a failure that is not tried again. An endpoint that stayed unready for
/// longer would receive no requests, and so would never learn that its server is back.
const REPORTED: Duration = Duration::from_secs(30);

/// What can be opened: a source, a filter that waits, a sink.
#[async_trait]
pub(crate) trait Open: Send {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error>;
}

#[async_trait]
impl Open for Box<dyn Source> {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.as_mut().open(cx).await
    }
}

#[async_trait]
impl Open for Box<dyn AsyncFilter> {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.as_mut().open(cx).await
    }
}

#[async_trait]
impl Open for Box<dyn Sink> {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.as_mut().open(cx).await
    }
}

/// The tries of one component: pauses between them, its health, and what the log says of it.
pub(crate) struct RetryState {
    backoff: Backoff,
    attempts: Option<u32>,
    metrics: Arc<ComponentMetrics>,
    cx: Cx,
    hard_stop: CancellationToken,
}

impl RetryState {
    pub(crate) fn new(
        options: &RetryOptions,
        metrics: &Arc<ComponentMetrics>,
        cx: &Cx,
        hard_stop: &CancellationToken,
    ) -> Self {
        Self {
            backoff: Backoff::new(options),
            attempts: options.attempts,
            metrics: Arc::clone(metrics),
            cx: cx.clone(),
            hard_stop: hard_stop.clone(),
        }
    }

    /// It went through.
    pub(crate) fn succeeded(&mut self) {
        if self.backoff.failures() > 0 {
            tracing::info!(component = self.metrics.name(), "works again");
        }
        if self.backoff.failures() > 0 || !self.metrics.is_ready() {
            self.metrics.set_health(Health::Ready);
        }
        self.backoff.reset();
    }

    /// No client waits any more for what was being tried. What failed stays reported for a while: the next request
    /// would probably fail too.
    pub(crate) fn cancelled(&mut self) {
        self.metrics.expire_health(REPORTED);
        self.backoff.reset();
    }

    /// How many tries failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// The try that is about to be made.
    pub(crate) fn attempt(&self) -> Attempt {
        let number = self.backoff.failures().saturating_add(1);
        Attempt { number, last: self.attempts.is_some_and(|attempts| number >= attempts) }
    }

    /// How many tries an event has, if they have an end.
    pub(crate) fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// A part went through: the pauses begin from the shortest one.
    pub(crate) fn progressed(&mut self) {
        self.backoff.reset();
    }

    /// Waits after `error`, which is not about single events, until it is time for another try. False if the tries
    /// are used up. A drain that begins meanwhile ends the pause: one try at once, then the pauses go on.
    pub(crate) async fn again(&mut self, error: &Error) -> Result<bool, Failure> {
        self.wait(error, self.attempts, std::future::pending()).await
    }

    /// As [`again`](Self::again), for a try at `batch`: the pause ends early when the work on it is cancelled.
    pub(crate) async fn again_for(&mut self, error: &Error, batch: &Batch) -> Result<bool, Failure> {
        self.wait(error, self.attempts, batch.cancelled()).await
    }

    /// As [`again_for`](Self::again_for), where the tries are counted for each event by the caller.
    pub(crate) async fn pause_for(&mut self, error: &Error, batch: &Batch) -> Result<(), Failure> {
        self.wait(error, None, batch.cancelled()).await.map(drop)
    }

    async fn wait(
        &mut self,
        error: &Error,
        attempts: Option<u32>,
        cancelled: impl Future<Output = ()>,
    ) -> Result<bool, Failure> {
        match error.class() {
            Class::Fatal => return Err(Failure::fatal(self.metrics.name(), error)),
            Class::Replay => return Err(Failure::Replay(format!("`{}`: {error}", self.metrics.name()))),
            _ => {}
        }
        let pause = self.backoff.pause(error, rand::random());
        let failures = self.backoff.failures();
        if error.class() != Class::Busy {
            self.metrics.retried();
            if attempts.is_some_and(|attempts| failures >= attempts) {
                self.metrics.set_health(Health::Waiting(error.message().to_owned()));
                self.metrics.expire_health(REPORTED);
                self.backoff.reset();
                return Ok(false);
            }
        }
        let (health, again) = match error.class() {
            Class::Misconfigured => {
                (Health::Unhealthy(error.message().to_owned()), "has to wait for a change")
            }
            Class::Busy => (Health::Waiting(error.message().to_owned()), "waits"),
            _ => (Health::Waiting(error.message().to_owned()), "tries again"),
        };
        let changed = self.metrics.set_health(health);
        let seconds = pause.as_secs_f64();
        // The first of a row is worth a line, then ever fewer of them.
        match changed || failures.is_power_of_two() {
            true => tracing::warn!(component = self.metrics.name(), "{again} in {seconds:.1} s: {error}"),
            false => tracing::debug!(component = self.metrics.name(), "{again} in {seconds:.1} s: {error}"),
        }
        let draining = self.cx.is_stopping();
        tokio::select! {
            () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
            () = self.cx.stopping(), if !draining => {}
            () = cancelled => {}
            () = tokio::time::sleep(pause) => {}
        }
        Ok(true)
    }

    /// The input ended before the component was open.
    fn needless(&self) -> bool {
        self.metrics.set_health(Health::Ended);
        false
    }

    /// Opens a component, again until it succeeds. False if `needless` resolves first: nothing is left to be opened for.
    pub(crate) async fn open(
        &mut self,
        component: &mut dyn Open,
        needless: &CancellationToken,
    ) -> Result<bool, Failure> {
        let cx = self.cx.clone();
        loop {
            let opened = tokio::select! {
                opened = component.open(&cx) => opened,
                () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
                () = needless.cancelled() => return Ok(self.needless()),
            };
            let Err(error) = opened else {
                self.succeeded();
                return Ok(true);
            };
            tokio::select! {
                again = self.again(&error) => { again?; }
                () = needless.cancelled() => return Ok(self.needless()),
            }
        }
    }
}

/// How often each event of a parcel has failed alone.
pub(crate) struct FailureCounts(Vec<u32>);

impl FailureCounts {
    pub(crate) fn new(events: usize) -> Self {
        Self(vec![0; events])
    }

    /// Counts events that failed, and returns those whose attempts are used up.
    pub(crate) fn count(&mut self, failed: Vec<(usize, String)>, attempts: Option<u32>) -> Vec<Rejection> {
        let mut given_up = Vec::new();
        for (event, reason) in failed {
            let Some(count) = self.0.get_mut(event) else { continue };
            *count += 1;
            if attempts.is_some_and(|attempts| *count >= attempts) {
                given_up.push(Rejection { event, reason: format!("given up after {count} tries: {reason}") });
            }
        }
        given_up
    }

    /// The count of the event that has failed most often.
    pub(crate) fn most(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// Keeps the counts of these events, which go on in a parcel of their own.
    pub(crate) fn select(&mut self, events: &[usize]) {
        self.0 = events.iter().map(|event| self.0.get(*event).copied().unwrap_or_default()).collect();
    }
}
