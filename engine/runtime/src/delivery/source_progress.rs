//! Progress of one source: the batches in flight, and the positions up to which everything has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_sdk::{Batch, Client, Commit, Lane as LaneId, Outcome, Record, Replay};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::delivery::budget::Charge;
use crate::delivery::checkpoint::{Checkpoint, SourcePositions, StoredPosition};
use crate::delivery::sink_progress::SinkProgress;
use crate::delivery::tracker::Tracker;
use crate::metrics::component::ComponentMetrics;

/// The shortest time between two writes of a checkpoint. One write covers everything that became safe meanwhile.
const STORE_EVERY: Duration = Duration::from_millis(100);

/// Callback for a batch that failed, which only a crash or a hard stop causes.
pub(crate) type OnFailed = Arc<dyn Fn() + Send + Sync>;

/// Progress of one source.
pub(crate) struct SourceProgress {
    source: Arc<str>,
    metrics: Arc<ComponentMetrics>,
    next_sequence: AtomicU64,
    events: AtomicU64,
    /// Those of the events in flight that the next run reads again.
    replayable: AtomicU64,
    /// Those of the events in flight whose client waits for an answer.
    awaited: AtomicU64,
    batches: AtomicU64,
    /// The number and position of the next event to read, by partition.
    reading: Mutex<BTreeMap<Arc<str>, Record>>,
    tracker: Mutex<Tracker>,
    safe: Mutex<Safe>,
    /// Wakes the task that stores positions.
    became_safe: Notify,
    /// Held while positions are stored.
    storing: tokio::sync::Mutex<()>,
    /// The records of sinks that keep them (effectively once).
    sink_progress: Option<Arc<SinkProgress>>,
    /// Wakes [`all_ended`](Self::all_ended) when no batch is in flight.
    idle: Notify,
    /// True if the position is kept after the end of the input.
    pub(crate) keeps_position: bool,
    on_failed: OnFailed,
}

/// Events that were read and have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) events: u64,
    /// Those that the next run reads again.
    pub(crate) replayable: u64,
    /// Those whose client waits for an answer.
    pub(crate) awaited: u64,
}

#[derive(Default)]
struct Safe {
    positions: SourcePositions,
    is_stored: bool,
    committer: Option<Box<dyn Commit>>,
}

impl SourceProgress {
    /// Creates the progress of a source that reads from its start, until [`resume`](Self::resume) sets a position.
    pub(crate) fn new(
        metrics: &Arc<ComponentMetrics>,
        sink_progress: Option<&Arc<SinkProgress>>,
        replay: Replay,
        on_failed: OnFailed,
    ) -> Self {
        Self {
            source: metrics.name().into(),
            metrics: Arc::clone(metrics),
            next_sequence: AtomicU64::new(0),
            events: AtomicU64::new(0),
            replayable: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            reading: Mutex::default(),
            tracker: Mutex::default(),
            safe: Mutex::new(Safe { is_stored: true, ..Safe::default() }),
            became_safe: Notify::new(),
            storing: tokio::sync::Mutex::default(),
            sink_progress: sink_progress.cloned(),
            idle: Notify::new(),
            // Input that is read by position starts from its beginning in the run after one that reached its end.
            // Other input only delivers what is new.
            keeps_position: replay != Replay::Position,
            on_failed,
        }
    }

    /// Sets the positions at which reading resumes, before it begins.
    pub(crate) fn resume(&self, positions: SourcePositions) {
        let reading =
            positions.iter().map(|(partition, stored)| (partition.as_str().into(), stored.record.clone()));
        *self.reading.lock() = reading.collect();
        self.safe.lock().positions = positions;
    }

    /// Numbers the next event of a partition beyond everything that any sink has done. Its input was replaced, so the
    /// next events are not those that the sinks have done under these numbers.
    pub(crate) fn replaced_input(&self, partition: &Arc<str>) {
        let Some(sink_progress) = &self.sink_progress else { return };
        let id = LaneId { source: Arc::clone(&self.source), partition: Arc::clone(partition) };
        let done = sink_progress.of_lane(&id).into_values().max().unwrap_or(0);
        let mut reading = self.reading.lock();
        let next = reading.entry(Arc::clone(partition)).or_default();
        next.base = next.base.max(done);
    }

    /// Sets the origin of a batch: its sequence number, its client, and the number of its first event.
    pub(crate) fn stamp(&self, batch: Batch, client: Option<&Client>) -> Batch {
        let (sequence, events) = (self.next_sequence.fetch_add(1, Ordering::Relaxed), batch.len());
        batch.with_origin(|origin| {
            let mut reading = self.reading.lock();
            let next = reading.entry(Arc::clone(&origin.partition)).or_default();
            origin.source = Arc::clone(&self.source);
            origin.sequence = sequence;
            origin.client = client.cloned();
            origin.before.clone_from(&next.position);
            origin.first = next.base;
            origin.events = events as u32;
            next.base += events as u64;
            next.position = origin.position.clone().or(next.position.take());
        })
    }

    /// Begins to track a batch. The returned function is to be called once, when all its events have ended.
    pub(crate) fn reading(
        self: Arc<Self>,
        batch: &Batch,
        charge: Charge,
        on_done: Option<Box<dyn FnOnce(Outcome) + Send>>,
    ) -> impl FnOnce(Outcome) + Send + 'static {
        let origin = Arc::clone(&batch.runs()[0].origin);
        let events = batch.len() as u64;
        let replayable = if origin.position.is_some() { events } else { 0 };
        let awaited = if origin.client.is_some() { events } else { 0 };
        let next = origin.first + events;
        let record = origin.position.clone().map(|position| Record {
            position: Some(position),
            base: next,
            done: next,
        });
        self.tracker.lock().read(&origin.partition, origin.sequence, record);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.replayable.fetch_add(replayable, Ordering::Relaxed);
        self.awaited.fetch_add(awaited, Ordering::Relaxed);
        let since = Instant::now();
        move |outcome| {
            drop(charge);
            if outcome == Outcome::Failed {
                (self.on_failed)();
            } else {
                self.events.fetch_sub(events, Ordering::Relaxed);
                self.replayable.fetch_sub(replayable, Ordering::Relaxed);
                self.awaited.fetch_sub(awaited, Ordering::Relaxed);
                self.metrics.latency(since.elapsed());
                self.ended(&origin.partition, origin.sequence);
            }
            if let Some(on_done) = on_done {
                on_done(outcome);
            }
            if self.batches.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.idle.notify_waiters();
            }
        }
    }

    fn ended(&self, partition: &str, sequence: u64) {
        // Both locks are held together, so that positions never go back: two batches may end at once.
        let mut tracker = self.tracker.lock();
        if let Some(record) = tracker.ended(partition, sequence) {
            let id = LaneId { source: Arc::clone(&self.source), partition: partition.into() };
            // The sinks have committed at least everything up to this record.
            let sinks = self.sink_progress.as_ref().map(|progress| progress.of_lane(&id)).unwrap_or_default();
            let mut safe = self.safe.lock();
            safe.positions.insert(partition.to_owned(), StoredPosition { record, sinks });
            safe.is_stored = false;
            self.became_safe.notify_one();
        }
    }

    /// Resolves when every batch that was read has ended.
    pub(crate) async fn all_ended(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.batches.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Events that were read and have not ended.
    pub(crate) fn in_flight(&self) -> InFlight {
        InFlight {
            events: self.events.load(Ordering::Relaxed),
            replayable: self.replayable.load(Ordering::Relaxed),
            awaited: self.awaited.load(Ordering::Relaxed),
        }
    }

    /// The name of the source, and the positions up to which everything has ended.
    pub(crate) fn positions(&self) -> (String, SourcePositions) {
        (self.source.to_string(), self.safe.lock().positions.clone())
    }

    pub(crate) fn set_committer(&self, committer: Option<Box<dyn Commit>>) {
        self.safe.lock().committer = committer;
    }

    /// Stores positions when they become safe, at most once in [`STORE_EVERY`], until `over` is cancelled; then once
    /// more.
    pub(crate) async fn keep_stored(&self, checkpoint: Arc<Checkpoint>, over: CancellationToken) {
        loop {
            let last = over.is_cancelled();
            if let Err(error) = self.store(&checkpoint).await {
                tracing::error!(component = self.metrics.name(), "the position cannot be stored: {error}");
                self.became_safe.notify_one();
            }
            if last {
                return;
            }
            let next = async {
                tokio::time::sleep(STORE_EVERY).await;
                self.became_safe.notified().await;
            };
            tokio::select! {
                () = over.cancelled() => {}
                () = next => {}
            }
        }
    }

    /// Stores the positions that are safe and not stored yet, then commits them to the source's input.
    pub(crate) async fn store(&self, checkpoint: &Arc<Checkpoint>) -> std::io::Result<()> {
        let _one_at_a_time = self.storing.lock().await;
        let (positions, committer) = {
            let mut safe = self.safe.lock();
            if safe.is_stored {
                return Ok(());
            }
            safe.is_stored = true;
            (safe.positions.clone(), safe.committer.take())
        };
        let (file, stored) = (Arc::clone(checkpoint), positions.clone());
        let written = tokio::task::spawn_blocking(move || file.store(&stored)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        match (&written, committer) {
            (Err(_), committer) => {
                let mut safe = self.safe.lock();
                safe.is_stored = false;
                safe.committer = committer;
            }
            (Ok(()), Some(mut committer)) => {
                self.commit(committer.as_mut(), &positions).await;
                self.safe.lock().committer = Some(committer);
            }
            (Ok(()), None) => {}
        }
        written
    }

    /// Commits positions to the source's input. They are durable here already.
    async fn commit(&self, committer: &mut dyn Commit, positions: &SourcePositions) {
        for (partition, stored) in positions {
            let Some(position) = &stored.record.position else { continue };
            if let Err(error) = committer.commit(partition, position).await {
                // The next position is committed as well. Until then the input only keeps more than it has to.
                tracing::warn!(component = self.metrics.name(), "the position cannot be committed: {error}");
            }
        }
    }
}
