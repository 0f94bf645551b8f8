//! Counters and health of one component.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_sdk::{Batch, Complaint, Kind, Metrics, Passed, Progress};

use tokio::sync::watch;
use tokio::time::Instant as Clock;

use crate::metrics::gauge::Gauge;
use crate::metrics::log_limit::LogLimit;
use crate::metrics::status::{ComponentStatus, Counts, Health, Latency};

/// Upper bounds of the latency buckets, in seconds.
const BOUNDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The time after the last failed try for which a component without work is reported as waiting.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// Counters and health of one component. They live as long as its graph, across restarts.
#[derive(Debug)]
pub(crate) struct ComponentMetrics {
    name: String,
    kind: Kind,
    plugin: String,
    started: Instant,
    events_in: AtomicU64,
    bytes_in: AtomicU64,
    events_out: AtomicU64,
    bytes_out: AtomicU64,
    rejected: AtomicU64,
    dead_letters: AtomicU64,
    retried: AtomicU64,
    skipped: AtomicU64,
    elsewhere: AtomicU64,
    cancelled: AtomicU64,
    upstream_micros: AtomicU64,
    downstream_micros: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    latency_micros: AtomicU64,
    /// Start of the current call into the component, in milliseconds after `started`, plus 1; 0 without a call.
    busy_since: AtomicU64,
    health: watch::Sender<Health>,
    /// When the last series of tries ended without success; `None` while the health is current.
    gave_up: Mutex<Option<Clock>>,
    gauge: Mutex<Option<Gauge>>,
    progress: Mutex<Option<Arc<Progress>>>,
    complaint: Mutex<Option<Arc<Complaint>>>,
    /// Metrics that the component makes of its events.
    user_metrics: Arc<Metrics>,
    rejected_log: LogLimit,
    not_kept_log: LogLimit,
}

impl ComponentMetrics {
    pub(crate) fn new(name: &str, kind: Kind, plugin: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            plugin: plugin.to_owned(),
            started: Instant::now(),
            events_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            events_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            upstream_micros: AtomicU64::new(0),
            downstream_micros: AtomicU64::new(0),
            buckets: Default::default(),
            latency_micros: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
            health: watch::Sender::new(Health::Starting),
            gave_up: Mutex::default(),
            gauge: Mutex::new(None),
            progress: Mutex::new(None),
            complaint: Mutex::new(None),
            user_metrics: Arc::default(),
            rejected_log: LogLimit::default(),
            not_kept_log: LogLimit::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Start of counting.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Returns whether these are the metrics of a component with this name, kind and plugin.
    pub(crate) fn is_of(&self, name: &str, kind: Kind, plugin: &str) -> bool {
        self.name == name && self.kind == kind && self.plugin == plugin
    }

    /// Resets everything but the counters, for another run of the component.
    pub(crate) fn reset(&self) {
        self.replace_health(Health::Starting);
        self.busy_since.store(0, Ordering::Relaxed);
        *self.gauge.lock() = None;
        *self.progress.lock() = None;
        *self.complaint.lock() = None;
    }

    /// Counts a batch that came in.
    pub(crate) fn record_in(&self, batch: &Batch) {
        add(&self.events_in, batch.len() as u64);
        add(&self.bytes_in, batch.bytes() as u64);
    }

    /// Counts a batch that went out.
    pub(crate) fn record_out(&self, batch: &Batch) {
        add(&self.events_out, batch.len() as u64);
        add(&self.bytes_out, batch.bytes() as u64);
    }

    /// Counts events that came in.
    pub(crate) fn record_in_counts(&self, passed: Passed) {
        add(&self.events_in, passed.events as u64);
        add(&self.bytes_in, passed.bytes as u64);
    }

    /// Counts events that went out.
    pub(crate) fn record_out_counts(&self, passed: Passed) {
        add(&self.events_out, passed.events as u64);
        add(&self.bytes_out, passed.bytes as u64);
    }

    /// Counts a batch that went out, without the events with these indices.
    pub(crate) fn record_out_except(&self, batch: &Batch, events: impl Iterator<Item = usize>) {
        let (mut count, mut bytes) = (batch.len(), batch.bytes());
        for event in events.filter(|event| *event < batch.len()) {
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(batch.payload(event).len());
        }
        add(&self.events_out, count as u64);
        add(&self.bytes_out, bytes as u64);
    }

    pub(crate) fn rejected(&self, events: usize) {
        add(&self.rejected, events as u64);
    }

    /// Logs rejected events, at most once in a while.
    pub(crate) fn log_rejected(&self, events: usize, reason: &str) {
        if let Some(count) = self.rejected_log.count(events) {
            let (name, events) = (self.name(), plural(count));
            tracing::warn!(component = name, "rejected {count} {events}; the latest reason: {reason}");
        }
    }

    /// Logs rejected events that are not kept as dead letters, at most once in a while.
    pub(crate) fn log_not_kept(&self, events: usize, reason: &str) {
        if let Some(count) = self.not_kept_log.count(events) {
            let (name, events) = (self.name(), plural(count));
            tracing::warn!(
                component = name,
                "did not keep {count} rejected {events} as dead letters: {reason}"
            );
        }
    }

    /// Counts dead letters.
    pub(crate) fn kept(&self, dead_letters: usize) {
        add(&self.dead_letters, dead_letters as u64);
    }

    pub(crate) fn retried(&self) {
        add(&self.retried, 1);
    }

    pub(crate) fn skipped(&self, events: usize) {
        add(&self.skipped, events as u64);
    }

    /// Counts events that another process has done.
    pub(crate) fn already_done(&self, events: usize) {
        add(&self.elsewhere, events as u64);
    }

    /// Counts events that were dropped because their client is gone.
    pub(crate) fn cancelled(&self, events: usize) {
        add(&self.cancelled, events as u64);
    }

    pub(crate) fn waited_upstream(&self, since: Instant) {
        add(&self.upstream_micros, since.elapsed().as_micros() as u64);
    }

    pub(crate) fn waited_downstream(&self, since: Instant) {
        add(&self.downstream_micros, since.elapsed().as_micros() as u64);
    }

    /// Records the latency of one batch.
    pub(crate) fn latency(&self, latency: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < latency.as_secs_f64());
        add(&self.buckets[bucket], 1);
        add(&self.latency_micros, latency.as_micros() as u64);
    }

    /// Begins a call into the component. Dropping the timer ends the call and records its latency.
    pub(crate) fn time_call(&self) -> CallTimer<'_> {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        self.busy_since.store(now, Ordering::Relaxed);
        CallTimer { metrics: self, since: Instant::now() }
    }

    /// Duration of the current call.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        self.started.elapsed().checked_sub(Duration::from_millis(since))
    }

    /// Number of events that have reached the component, including the input that a source refused.
    pub(crate) fn reached(&self) -> u64 {
        let refused = if self.kind == Kind::Source { self.rejected.load(Ordering::Relaxed) } else { 0 };
        self.events_in.load(Ordering::Relaxed) + refused
    }

    /// Returns whether this is a source that knows the end of its input.
    pub(crate) fn has_end(&self) -> bool {
        let progress = self.progress.lock();
        progress.as_ref().is_some_and(|progress| progress.get().is_some())
    }

    /// Sets the health, and returns whether it changed. A blocked component stays blocked until its next run.
    pub(crate) fn set_health(&self, health: Health) -> bool {
        *self.gave_up.lock() = None;
        self.health.send_if_modified(|current| {
            let stays = matches!(current, Health::Blocked(_)) && health != Health::Ended;
            let changed = !stays && *current != health;
            if changed {
                *current = health;
            }
            changed
        })
    }

    fn replace_health(&self, health: Health) {
        *self.gave_up.lock() = None;
        self.health.send_replace(health);
    }

    /// Unblocks the component for another run.
    pub(crate) fn unblock(&self) {
        self.health.send_if_modified(|current| {
            let is_blocked = matches!(current, Health::Blocked(_));
            if is_blocked {
                *current = Health::Starting;
            }
            is_blocked
        });
    }

    /// Ends a series of tries without success. The health stays until the next call; without one it is out of date
    /// after [`STALE_AFTER`], so that an endpoint that gets no requests while it is unready becomes ready again.
    pub(crate) fn gave_up(&self) {
        *self.gave_up.lock() = Some(Clock::now());
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.health.borrow() == Health::Ready
    }

    /// Resolves when the component has been opened, or has failed to open.
    pub(crate) async fn left_start(&self) {
        // The sender is in `self`, so the channel is open.
        drop(self.health.subscribe().wait_for(|health| *health != Health::Starting).await);
    }

    pub(crate) fn set_gauge(&self, gauge: Gauge) {
        *self.gauge.lock() = Some(gauge);
    }

    pub(crate) fn set_progress(&self, progress: Arc<Progress>) {
        *self.progress.lock() = Some(progress);
    }

    pub(crate) fn set_complaint(&self, complaint: Arc<Complaint>) {
        *self.complaint.lock() = Some(complaint);
    }

    pub(crate) fn user_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.user_metrics)
    }

    /// The health that is reported: a component that works and complains is unhealthy, and the last failure of one
    /// that has had nothing to do since is out of date after a while.
    fn health(&self) -> Health {
        let mut health = self.health.borrow().clone();
        let is_stale = self.gave_up.lock().is_some_and(|since| since.elapsed() >= STALE_AFTER);
        if is_stale && matches!(health, Health::Waiting(_) | Health::Unhealthy(_)) {
            health = Health::Ready;
        }
        let complaint = self.complaint.lock();
        match complaint.as_ref().and_then(|complaint| complaint.get()) {
            Some(reason) if health == Health::Ready => Health::Unhealthy(reason),
            _ => health,
        }
    }

    pub(crate) fn status(&self) -> ComponentStatus {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let micros = |counter: &AtomicU64| Duration::from_micros(counter.load(Ordering::Relaxed));
        let progress = self.progress.lock().clone();
        ComponentStatus {
            name: self.name.clone(),
            kind: self.kind,
            plugin: self.plugin.clone(),
            health: self.health(),
            counts: Counts {
                events_in: load(&self.events_in),
                bytes_in: load(&self.bytes_in),
                events_out: load(&self.events_out),
                bytes_out: load(&self.bytes_out),
                rejected: load(&self.rejected),
                dead_letters: load(&self.dead_letters),
                retried: load(&self.retried),
                skipped: load(&self.skipped),
                elsewhere: load(&self.elsewhere),
                cancelled: load(&self.cancelled),
                waited_upstream: micros(&self.upstream_micros),
                waited_downstream: micros(&self.downstream_micros),
            },
            queue: self.gauge.lock().as_ref().map(Gauge::fill),
            progress: progress.and_then(|progress| progress.get()),
            latency: Latency {
                bounds: BOUNDS,
                counts: self.buckets.iter().map(load).collect(),
                sum_micros: load(&self.latency_micros),
            },
            user_metrics: self.user_metrics.all(),
        }
    }
}

/// Timer of a call into the component.
pub(crate) struct CallTimer<'a> {
    metrics: &'a ComponentMetrics,
    since: Instant,
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        self.metrics.busy_since.store(0, Ordering::Relaxed);
        self.metrics.latency(self.since.elapsed());
    }
}

fn plural(events: u64) -> &'static str {
    if events == 1 { "event" } else { "events" }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
