//! The context of a running component.

mod metrics;
mod tasks;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use metrics::{Metric, MetricDefinition, MetricKind, Metrics, OVERFLOW, Series};
pub use tasks::Tasks;

use crate::{Position, Size};

/// The context of a running component: its stop signal, the positions to resume at, and its tasks.
/// A clone is another handle to the same context.
#[derive(Clone, Debug)]
pub struct Cx {
    component: Arc<str>,
    stopping: CancellationToken,
    tasks: Tasks,
    resume: Arc<BTreeMap<String, Position>>,
    event_size: Size,
    sink_acknowledges: bool,
    progress: Arc<Progress>,
    complaint: Arc<Complaint>,
    replaced: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// The reason why a component that works needs somebody's attention. While there is one, the component is reported
/// unhealthy with it.
#[derive(Debug, Default)]
pub struct Complaint(Mutex<Option<Stated>>);

/// The stated reason, and the time at which it expires, if it does.
#[derive(Debug)]
struct Stated {
    reason: String,
    until: Option<Instant>,
}

impl Complaint {
    /// Sets the reason: a lower-case sentence without a full stop that holds no secret.
    pub fn set(&self, reason: impl Into<String>) {
        *self.0.lock() = Some(Stated { reason: reason.into(), until: None });
    }

    /// Sets the reason for a limited time. For a component that learns of its recovery from its next event only: an
    /// endpoint that stays unready receives no requests, and would never recover.
    pub fn set_for(&self, reason: impl Into<String>, time: Duration) {
        *self.0.lock() = Some(Stated { reason: reason.into(), until: Instant::now().checked_add(time) });
    }

    /// Takes the complaint back.
    pub fn clear(&self) {
        *self.0.lock() = None;
    }

    /// The reason, if there is one.
    pub fn get(&self) -> Option<String> {
        let stated = self.0.lock();
        let current =
            stated.as_ref().filter(|stated| stated.until.is_none_or(|until| Instant::now() < until));
        current.map(|stated| stated.reason.clone())
    }
}

/// The progress of a source with an end, in a unit of its own (bytes of the files, events of a count).
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Sets how much is done, and how much there is in all.
    pub fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// The finished amount and the total; `None` if the source has no end that it knows of.
    pub fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed).min(total), total))
    }
}

/// A point in time on both clocks: see [`Cx::now`].
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock for durations, which never goes back.
    pub monotonic: tokio::time::Instant,
    /// The clock on the wall.
    pub wall: std::time::SystemTime,
}

impl Cx {
    /// The default of [`event_size`](Self::event_size).
    pub const EVENT_SIZE: Size = Size(16 << 20);

    /// A context for the component of this name, that stops when `stopping` is cancelled.
    pub fn new(component: &str, stopping: CancellationToken) -> Self {
        Self {
            component: component.into(),
            stopping,
            tasks: Tasks::new(),
            resume: Arc::default(),
            event_size: Self::EVENT_SIZE,
            sink_acknowledges: false,
            progress: Arc::default(),
            complaint: Arc::default(),
            replaced: Arc::default(),
            metrics: Arc::default(),
        }
    }

    /// The same, resuming from these positions, by partition.
    #[must_use]
    pub fn with_resume(mut self, positions: BTreeMap<String, Position>) -> Self {
        self.resume = Arc::new(positions);
        self
    }

    /// The same, with another limit on the size of one event.
    #[must_use]
    pub fn with_event_size(mut self, size: Size) -> Self {
        self.event_size = size;
        self
    }

    /// The same, for a source whose sink acknowledges for it.
    #[must_use]
    pub fn with_acknowledging_sink(mut self) -> Self {
        self.sink_acknowledges = true;
        self
    }

    /// The same, with the flag that is set before a drain at whose end another instance takes over. For the engine.
    #[must_use]
    pub fn with_replaced(mut self, replaced: Arc<AtomicBool>) -> Self {
        self.replaced = replaced;
        self
    }

    /// Returns true if the pipeline drains in order to be replaced by a changed one, at a reload. A source may then leave
    /// resources of the process, such as a listening socket, to the instance that takes over.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// The same, with metrics that have counted before. For the engine.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Returns true if the sink acknowledges for this source. That is the case under
    /// `delivery = "effectively_once"` if both have the same
    /// [transaction domain](crate::Source::transaction_domain). Each batch then carries its
    /// [handles](crate::SourceBatch::with_ack_handles), and the source acknowledges nothing: not even events that have ended,
    /// because its server may have lost them meanwhile.
    pub fn sink_acknowledges(&self) -> bool {
        self.sink_acknowledges
    }

    /// The name of the component in its pipeline.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Resolves when the pipeline drains: finish the current work. Sinks and filters go on until their input
    /// ends; for them it means that pauses are over.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Returns true if the pipeline drains.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// The current time on both clocks. A test in tokio's paused time advances both.
    pub fn now(&self) -> Now {
        let monotonic = tokio::time::Instant::now();
        let (virtual_now, real_now) = (monotonic.into_std(), std::time::Instant::now());
        let ahead = virtual_now.saturating_duration_since(real_now);
        let lag = real_now.saturating_duration_since(virtual_now);
        Now { monotonic, wall: std::time::SystemTime::now() + ahead - lag }
    }

    /// Waits for `pause`, or until the pipeline drains. True if the whole pause has passed.
    pub async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.stopping() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// The position to resume at in this partition; `None` on a first run.
    pub fn resume(&self, partition: &str) -> Option<&Position> {
        self.resume.get(partition)
    }

    /// The position to resume at, for each partition that was ever committed.
    pub fn resume_all(&self) -> &BTreeMap<String, Position> {
        &self.resume
    }

    /// The longest payload that may become an event, in bytes.
    pub fn event_size(&self) -> usize {
        self.event_size.as_usize()
    }

    /// The handle with which a source with an end reports its progress.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The handle with which a working component reports a problem that needs attention.
    pub fn complaint(&self) -> &Arc<Complaint> {
        &self.complaint
    }

    /// Metrics of the component's own, for `/metrics`.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Starts a task of the component. The engine waits for it after `close`; it must end by then.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Runs a function that blocks, off the async workers: see [`Tasks::spawn_blocking`].
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn_blocking(work)
    }

    /// Runs a function that may wait for long on a thread of its own: see [`Tasks::spawn_thread`].
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        self.tasks.spawn_thread(name, work)
    }

    /// The tasks of the component. For the engine.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_clocks_follow_the_paused_time_of_a_test() {
        let cx = Cx::new("test", CancellationToken::new());
        let before = cx.now();
        assert!(cx.sleep(Duration::from_secs(3600)).await);
        let after = cx.now();
        assert_eq!(after.monotonic - before.monotonic, Duration::from_secs(3600));
        let passed = after.wall.duration_since(before.wall).unwrap();
        assert!(passed.abs_diff(Duration::from_secs(3600)) < Duration::from_secs(1), "{passed:?}");
    }

    #[test]
    fn complaint_with_a_limit_expires_and_one_without_stays() {
        let complaint = Complaint::default();
        complaint.set("stays");
        assert_eq!(complaint.get().as_deref(), Some("stays"));
        complaint.set_for("is over", Duration::ZERO);
        assert_eq!(complaint.get(), None);
        complaint.set_for("is current", Duration::from_secs(3600));
        assert_eq!(complaint.get().as_deref(), Some("is current"));
        complaint.clear();
        assert_eq!(complaint.get(), None);
    }

    #[test]
    fn context_knows_that_it_is_replaced() {
        let replaced = Arc::new(AtomicBool::new(false));
        let cx = Cx::new("source", CancellationToken::new()).with_replaced(Arc::clone(&replaced));
        assert!(!cx.is_replaced());
        replaced.store(true, Ordering::Release);
        assert!(cx.clone().is_replaced());
    }
}
