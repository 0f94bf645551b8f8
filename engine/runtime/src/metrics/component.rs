//! What a component has done, counted per batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_sdk::{Batch, Complaint, Kind, Metrics, Passed, Progress};

use crate::metrics::gauge::Gauge;
use crate::metrics::status::{ComponentStatus, Counts, Health, Latency};

/// Upper bounds of the latency buckets, in seconds.
const BOUNDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The shortest time between two lines of the log about the same kind of events of one component.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Counts for one component. Lives as long as its graph, across restarts.
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
    /// Since when one call into the component is under way, in milliseconds after `started`, plus 1.
    busy_since: AtomicU64,
    health: Mutex<Known>,
    gauge: Mutex<Option<Gauge>>,
    progress: Mutex<Option<Arc<Progress>>>,
    complaint: Mutex<Option<Arc<Complaint>>>,
    /// Metrics that the component makes of its events.
    user_metrics: Arc<Metrics>,
    rejected_log: Told,
    not_kept_log: Told,
}

/// The health of a component, and the time at which it expires.
#[derive(Debug)]
struct Known {
    health: Health,
    until: Option<Instant>,
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
            health: Mutex::new(Known { health: Health::Starting, until: None }),
            gauge: Mutex::new(None),
            progress: Mutex::new(None),
            complaint: Mutex::new(None),
            user_metrics: Arc::default(),
            rejected_log: Told::default(),
            not_kept_log: Told::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Since when it counts.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether it counts for a component of this name, kind and plugin.
    pub(crate) fn is_of(&self, name: &str, kind: Kind, plugin: &str) -> bool {
        self.name == name && self.kind == kind && self.plugin == plugin
    }

    /// The component is put together anew: the counts go on, all else is as at the start.
    pub(crate) fn anew(&self) {
        self.set_health(Health::Starting);
        self.busy_since.store(0, Ordering::Relaxed);
        *self.gauge.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A batch came in.
    pub(crate) fn record_in(&self, batch: &Batch) {
        add(&self.events_in, batch.len() as u64);
        add(&self.bytes_in, batch.bytes() as u64);
    }

    /// A batch went out.
    pub(crate) fn record_out(&self, batch: &Batch) {
        add(&self.events_out, batch.len() as u64);
        add(&self.bytes_out, batch.bytes() as u64);
    }

    /// So much came in.
    pub(crate) fn record_in_counts(&self, passed: Passed) {
        add(&self.events_in, passed.events as u64);
        add(&self.bytes_in, passed.bytes as u64);
    }

    /// So much went out.
    pub(crate) fn record_out_counts(&self, passed: Passed) {
        add(&self.events_out, passed.events as u64);
        add(&self.bytes_out, passed.bytes as u64);
    }

    /// A batch went out, but for these events.
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

    /// Writes a line about rejected events to the log, if it is time for one.
    pub(crate) fn log_rejected(&self, events: usize, reason: &str) {
        if let Some(count) = self.rejected_log.count(events) {
            let (name, events) = (self.name(), plural(count));
            tracing::warn!(component = name, "rejected {count} {events}; the latest reason: {reason}");
        }
    }

    /// Writes a line about rejected events that are not kept as dead letters to the log, if it is time for one.
    pub(crate) fn log_not_kept(&self, events: usize, reason: &str) {
        if let Some(count) = self.not_kept_log.count(events) {
            let (name, events) = (self.name(), plural(count));
            tracing::warn!(
                component = name,
                "did not keep {count} rejected {events} as dead letters: {reason}"
            );
        }
    }

    /// Rejected events are kept.
    pub(crate) fn kept(&self, letters: usize) {
        add(&self.dead_letters, letters as u64);
    }

    pub(crate) fn retried(&self) {
        add(&self.retried, 1);
    }

    pub(crate) fn skipped(&self, events: usize) {
        add(&self.skipped, events as u64);
    }

    /// Events turned out to be done by another process.
    pub(crate) fn already_done(&self, events: usize) {
        add(&self.elsewhere, events as u64);
    }

    /// Events were dropped because their client is gone.
    pub(crate) fn cancelled(&self, events: usize) {
        add(&self.cancelled, events as u64);
    }

    pub(crate) fn waited_upstream(&self, since: Instant) {
        add(&self.upstream_micros, since.elapsed().as_micros() as u64);
    }

    pub(crate) fn waited_downstream(&self, since: Instant) {
        add(&self.downstream_micros, since.elapsed().as_micros() as u64);
    }

    /// A batch took so long.
    pub(crate) fn latency(&self, record_in: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < record_in.as_secs_f64());
        add(&self.buckets[bucket], 1);
        add(&self.latency_micros, record_in.as_micros() as u64);
    }

    /// A call into the component begins. What is returned ends it and records how long it took.
    pub(crate) fn busy(&self) -> Busy<'_> {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        self.busy_since.store(now, Ordering::Relaxed);
        Busy { metrics: self, since: Instant::now() }
    }

    /// For how long the call that is under way has been under way.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        self.started.elapsed().checked_sub(Duration::from_millis(since))
    }

    /// How many events have reached the component. For a source, what it refused while reading is among them.
    pub(crate) fn reached(&self) -> u64 {
        let refused = if self.kind == Kind::Source { self.rejected.load(Ordering::Relaxed) } else { 0 };
        self.events_in.load(Ordering::Relaxed) + refused
    }

    /// Whether this is a source that knows where its input ends.
    pub(crate) fn has_end(&self) -> bool {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.as_ref().is_some_and(|progress| progress.get().is_some())
    }

    /// Sets the health; true if it changed.
    pub(crate) fn set_health(&self, health: Health) -> bool {
        let mut current = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = current.health != health;
        *current = Known { health, until: None };
        changed
    }

    /// Lets the current health be reported for `time`, unless it is set again: then the component counts as ready.
    pub(crate) fn expire_health(&self, time: Duration) {
        let mut current = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(current.health, Health::Waiting(_) | Health::Unhealthy(_)) {
            current.until = Instant::now().checked_add(time);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).health == Health::Ready
    }

    pub(crate) fn set_gauge(&self, gauge: Gauge) {
        *self.gauge.lock().unwrap_or_else(PoisonError::into_inner) = Some(gauge);
    }

    pub(crate) fn set_progress(&self, progress: Arc<Progress>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    pub(crate) fn set_complaint(&self, complaint: Arc<Complaint>) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(complaint);
    }

    pub(crate) fn user_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.user_metrics)
    }

    /// The health that is reported: a component that works and complains is unhealthy.
    fn health(&self) -> Health {
        let known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = known.until.is_some_and(|until| until <= Instant::now());
        let health = if is_over { Health::Ready } else { known.health.clone() };
        drop(known);
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        match complaint.as_ref().and_then(|complaint| complaint.get()) {
            Some(reason) if health == Health::Ready => Health::Unhealthy(reason),
            _ => health,
        }
    }

    pub(crate) fn status(&self) -> ComponentStatus {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let micros = |counter: &AtomicU64| Duration::from_micros(counter.load(Ordering::Relaxed));
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
            queue: self.gauge.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Gauge::fill),
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

/// Lines of the log about one kind of events: at most one in [`LINES_EVERY`], with the number of events since the last.
#[derive(Debug, Default)]
struct Told(Mutex<(Option<Instant>, u64)>);

impl Told {
    /// Counts events; their number since the last line if it is time for another.
    fn count(&self, events: usize) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 += events as u64;
        let now = Instant::now();
        if told.0.is_some_and(|last| now.duration_since(last) < LINES_EVERY) {
            return None;
        }
        told.0 = Some(now);
        Some(std::mem::take(&mut told.1))
    }
}

/// A call into a component that is under way.
pub(crate) struct Busy<'a> {
    metrics: &'a ComponentMetrics,
    since: Instant,
}

impl Drop for Busy<'_> {
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
mod tests {
    use super::*;

    #[test]
    fn failure_is_reported_until_it_expires_and_a_blocked_component_stays_blocked() {
        let metrics = ComponentMetrics::new("sink", Kind::Sink, "http");
        let failing = Health::Waiting("no connection".into());
        metrics.set_health(failing.clone());
        metrics.expire_health(Duration::from_secs(3600));
        assert_eq!(metrics.status().health, failing);
        metrics.expire_health(Duration::ZERO);
        assert_eq!(metrics.status().health, Health::Ready);
        assert!(!metrics.is_ready(), "the next success is still logged as a recovery");
        let blocked = Health::Blocked("too many dead letters".into());
        metrics.set_health(blocked.clone());
        metrics.expire_health(Duration::ZERO);
        assert_eq!(metrics.status().health, blocked);
    }
}
