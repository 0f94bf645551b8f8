//! Retries around every call of a plugin that can fail.

pub(crate) mod backoff;

use std::sync::Arc;
use std::time::Duration;

use tidegate_config::RetryOptions;
use tidegate_sdk::{AsyncFilter, Attempt, Batch, Class, Cx, Error, Rejection, Sink, Source, async_trait};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dataflow::retry::backoff::Backoff;
use crate::dataflow::tasks::GraphTasks;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

/// A component that can be opened: a source, an async filter or a sink.
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

/// Retries of one component: the pauses between tries, its health, and its log lines.
pub(crate) struct RetryState {
    backoff: Backoff,
    attempts: Option<u32>,
    metrics: Arc<ComponentMetrics>,
    cx: Cx,
    tasks: GraphTasks,
}

impl RetryState {
    pub(crate) fn new(
        options: &RetryOptions,
        metrics: &Arc<ComponentMetrics>,
        cx: &Cx,
        tasks: &GraphTasks,
    ) -> Self {
        Self {
            backoff: Backoff::new(options),
            attempts: options.attempts,
            metrics: Arc::clone(metrics),
            cx: cx.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Records a successful try.
    pub(crate) fn succeeded(&mut self) {
        if self.backoff.failures() > 0 {
            tracing::info!(component = self.metrics.name(), "works again");
        }
        if self.backoff.failures() > 0 || !self.metrics.is_ready() {
            self.metrics.set_health(Health::Ready);
        }
        self.backoff.reset();
    }

    /// Ends the tries at a batch without success: they are used up, or its clients are gone. The component keeps the
    /// health of the last try.
    pub(crate) fn gave_up(&mut self) {
        if self.backoff.failures() > 0 || !self.metrics.is_ready() {
            self.metrics.gave_up();
        }
        self.backoff.reset();
    }

    /// Number of failed tries in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// The try that is about to be made.
    pub(crate) fn attempt(&self) -> Attempt {
        let number = self.backoff.failures().saturating_add(1);
        Attempt { number, last: self.attempts.is_some_and(|attempts| number >= attempts) }
    }

    /// The largest number of tries for one event; `None` without a limit.
    pub(crate) fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// Records partial success: the pauses start from the shortest one.
    pub(crate) fn progressed(&mut self) {
        self.backoff.reset();
    }

    /// Waits until the next try after `error`, which is not about single events. Returns false if the tries are used
    /// up. A drain that begins meanwhile ends the pause, for one try at once; later pauses are not cut.
    pub(crate) async fn failed(&mut self, error: &Error) -> Result<bool, Failure> {
        self.wait(error, self.attempts, std::future::pending()).await
    }

    /// Waits as [`failed`](Self::failed) does, and ends early when all clients of `batch` are gone.
    pub(crate) async fn failed_for(&mut self, error: &Error, batch: &Batch) -> Result<bool, Failure> {
        self.wait(error, self.attempts, batch.cancelled()).await
    }

    /// Waits as [`failed_for`](Self::failed_for) does, for a caller that counts the tries of each event.
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
        let message = error.message().to_owned();
        let changed = self.metrics.set_health(match error.class() {
            Class::Misconfigured => Health::Unhealthy(message),
            _ => Health::Waiting(message),
        });
        if error.class() != Class::Busy {
            self.metrics.retried();
            if attempts.is_some_and(|attempts| failures >= attempts) {
                self.gave_up();
                return Ok(false);
            }
        }
        let next = next_try(error.class(), pause, self.time_left());
        // The first failure in a row is logged, then ever fewer of them.
        if changed || failures.is_power_of_two() {
            tracing::warn!(component = self.metrics.name(), "{next}: {error}");
        } else {
            tracing::debug!(component = self.metrics.name(), "{next}: {error}");
        }
        let draining = self.cx.is_stopping();
        tokio::select! {
            () = self.tasks.hard_stop().cancelled() => return Err(Failure::Stopped),
            () = self.cx.stopping(), if !draining => {}
            () = cancelled => {}
            () = tokio::time::sleep(pause) => {}
        }
        Ok(true)
    }

    /// Time until the drain timeout, during a drain.
    fn time_left(&self) -> Option<Duration> {
        let deadline = self.tasks.deadline().filter(|_| self.cx.is_stopping())?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Records that the input ended before the component was open.
    fn not_needed(&self) -> bool {
        self.metrics.set_health(Health::Ended);
        false
    }

    /// Opens a component, with retries. Returns false if `not_needed` is cancelled first.
    pub(crate) async fn open(
        &mut self,
        component: &mut dyn Open,
        not_needed: &CancellationToken,
    ) -> Result<bool, Failure> {
        let (cx, tasks) = (self.cx.clone(), self.tasks.clone());
        loop {
            let opened = tokio::select! {
                opened = component.open(&cx) => opened,
                () = tasks.hard_stop().cancelled() => return Err(Failure::Stopped),
                () = not_needed.cancelled() => return Ok(self.not_needed()),
            };
            let Err(error) = opened else {
                self.succeeded();
                return Ok(true);
            };
            tokio::select! {
                waited = self.failed(&error) => { waited?; }
                () = not_needed.cancelled() => return Ok(self.not_needed()),
            }
        }
    }
}

/// Log text about the next try. `left` is the time until the drain timeout, which ends all tries.
fn next_try(class: Class, pause: Duration, left: Option<Duration>) -> String {
    if let Some(left) = left.filter(|left| *left <= pause) {
        return format!("is not tried again, because the drain timeout passes in {}", span(left));
    }
    let pause = span(pause);
    match class {
        Class::Misconfigured => format!("has to wait for a change, tries again in {pause}"),
        Class::Busy => format!("waits {pause}"),
        _ => format!("tries again in {pause}"),
    }
}

/// A duration in milliseconds below a second, else in seconds.
pub(crate) fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        // Rounded up, so that no pause is "0 ms".
        format!("{} ms", duration.as_micros().div_ceil(1000).max(1))
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Number of failed tries of each event of a batch.
pub(crate) struct FailureCounts(Vec<u32>);

impl FailureCounts {
    pub(crate) fn new(events: usize) -> Self {
        Self(vec![0; events])
    }

    /// Counts failed events, and returns a rejection for each whose tries are used up.
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

    /// The largest count.
    pub(crate) fn most(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// Keeps the counts of these events, which continue in a batch of their own.
    pub(crate) fn select(&mut self, events: &[usize]) {
        self.0 = events.iter().map(|event| self.0.get(*event).copied().unwrap_or_default()).collect();
    }
}

#[cfg(test)]
mod tests;
