//! One source's side of delivery: what it has read that has not ended, and the positions that are safe.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_sdk::{Batch, Client, Commit, Lane as LaneId, Outcome, Record, Replay};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::delivery::budget::Charge;
use crate::delivery::checkpoint::{Checkpoint, SourcePositions, StoredPosition};
use crate::delivery::sink_progress::SinkProgress;
use crate::delivery::tracker::Tracker;
use crate::metrics::component::ComponentMetrics;

/// How often positions are stored, at most: one write for all that became safe meanwhile.
const STORE_EVERY: Duration = Duration::from_millis(100);

/// What one source has read and the rest of the graph has not finished.
pub(crate) struct SourceProgress {
    source: Arc<str>,
    metrics: Arc<ComponentMetrics>,
    next_sequence: AtomicU64,
    events: AtomicU64,
    /// Of these events, how many will be read again if they are not delivered.
    replayable: AtomicU64,
    batches: AtomicU64,
    /// By partition, where reading is: the next batch is numbered from there.
    reading: Mutex<BTreeMap<Arc<str>, Record>>,
    tracker: Mutex<Tracker>,
    safe: Mutex<Safe>,
    /// Held while what is safe is stored.
    storing: tokio::sync::Mutex<()>,
    /// What the sinks say, if they keep records of their own.
    sink_progress: Option<Arc<SinkProgress>>,
    changed: Notify,
    /// Whether the place outlives the end of the input.
    pub(crate) keeps_place: bool,
    /// Told when a batch failed, which only a crash or a hard stop makes happen.
    failed: CancellationToken,
}

#[derive(Default)]
struct Safe {
    places: SourcePositions,
    is_stored: bool,
    committer: Option<Box<dyn Commit>>,
}

impl SourceProgress {
    /// A lane that reads from its start, until [`resume`](Self::resume) says otherwise.
    pub(crate) fn new(
        metrics: &Arc<ComponentMetrics>,
        sink_progress: Option<&Arc<SinkProgress>>,
        replay: Replay,
        failed: &CancellationToken,
    ) -> Self {
        Self {
            source: metrics.name().into(),
            metrics: Arc::clone(metrics),
            next_sequence: AtomicU64::new(0),
            events: AtomicU64::new(0),
            replayable: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            reading: Mutex::default(),
            tracker: Mutex::default(),
            safe: Mutex::new(Safe { is_stored: true, ..Safe::default() }),
            storing: tokio::sync::Mutex::default(),
            sink_progress: sink_progress.cloned(),
            changed: Notify::new(),
            // Input that is read from a position begins from its start in the next run after one that ended. Other
            // input only says what is new.
            keeps_place: replay != Replay::Position,
            failed: failed.clone(),
        }
    }

    /// Where reading goes on, before it begins.
    pub(crate) fn resume(&self, places: SourcePositions) {
        let reading =
            places.iter().map(|(partition, place)| (partition.as_str().into(), place.record.clone()));
        *lock(&self.reading) = reading.collect();
        lock(&self.safe).places = places;
    }

    /// Numbers the next event of a partition from beyond everything that any sink has done: its input was replaced, so
    /// what comes next is not what the sinks have done under those numbers.
    pub(crate) fn replaced_input(&self, partition: &Arc<str>) {
        let Some(sink_progress) = &self.sink_progress else { return };
        let id = LaneId { source: Arc::clone(&self.source), partition: Arc::clone(partition) };
        let done = sink_progress.of_lane(&id).into_values().max().unwrap_or(0);
        let mut reading = lock(&self.reading);
        let place = reading.entry(Arc::clone(partition)).or_default();
        place.base = place.base.max(done);
    }

    /// The batch with its place in the source's sequence and the client that sent it.
    pub(crate) fn stamp(&self, batch: Batch, client: Option<&Client>) -> Batch {
        let (sequence, events) = (self.next_sequence.fetch_add(1, Ordering::Relaxed), batch.len());
        batch.with_origin(|origin| {
            let mut reading = lock(&self.reading);
            let place = reading.entry(Arc::clone(&origin.partition)).or_default();
            origin.source = Arc::clone(&self.source);
            origin.sequence = sequence;
            origin.client = client.cloned();
            origin.before.clone_from(&place.position);
            origin.first = place.base;
            origin.events = events as u32;
            place.base += events as u64;
            place.position = origin.position.clone().or(place.position.take());
        })
    }

    /// Begins to follow a batch. What is returned is to be called once when all its events have ended.
    pub(crate) fn reading(
        self: Arc<Self>,
        batch: &Batch,
        charge: Charge,
        settled: Option<Box<dyn FnOnce(Outcome) + Send>>,
    ) -> impl FnOnce(Outcome) + Send + 'static {
        let origin = Arc::clone(&batch.runs()[0].origin);
        let events = batch.len() as u64;
        let replayable = if origin.position.is_some() { events } else { 0 };
        let behind = origin.first + events;
        let record = origin.position.clone().map(|position| Record {
            position: Some(position),
            base: behind,
            done: behind,
        });
        lock(&self.tracker).read(&origin.partition, origin.sequence, record);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.replayable.fetch_add(replayable, Ordering::Relaxed);
        let since = Instant::now();
        move |outcome| {
            drop(charge);
            if outcome == Outcome::Failed {
                self.failed.cancel();
            } else {
                self.events.fetch_sub(events, Ordering::Relaxed);
                self.replayable.fetch_sub(replayable, Ordering::Relaxed);
                self.metrics.latency(since.elapsed());
                self.ended(&origin.partition, origin.sequence);
            }
            if let Some(settled) = settled {
                settled(outcome);
            }
            if self.batches.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.changed.notify_waiters();
            }
        }
    }

    fn ended(&self, partition: &str, sequence: u64) {
        // Both locks are held together, so that positions never go back: two batches may end at once.
        let mut tracker = lock(&self.tracker);
        if let Some(record) = tracker.ended(partition, sequence) {
            let id = LaneId { source: Arc::clone(&self.source), partition: partition.into() };
            // What the sinks have committed now covers at least everything up to here.
            let sinks = self
                .sink_progress
                .as_ref()
                .map(|sink_progress| sink_progress.of_lane(&id))
                .unwrap_or_default();
            let mut safe = lock(&self.safe);
            safe.places.insert(partition.to_owned(), StoredPosition { record, sinks });
            safe.is_stored = false;
        }
    }

    /// Resolves when every batch that was read has ended.
    pub(crate) async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.batches.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Events that were read and have not ended, and how many of them would be read again.
    pub(crate) fn in_flight(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed), self.replayable.load(Ordering::Relaxed))
    }

    /// The name of the source, and the places up to which everything has ended.
    pub(crate) fn places(&self) -> (String, SourcePositions) {
        (self.source.to_string(), lock(&self.safe).places.clone())
    }

    pub(crate) fn set_committer(&self, committer: Option<Box<dyn Commit>>) {
        lock(&self.safe).committer = committer;
    }

    /// Stores what became safe, every now and then, until `over` resolves; then once more.
    pub(crate) async fn keep_stored(&self, checkpoint: Arc<Checkpoint>, over: CancellationToken) {
        loop {
            let last = over.is_cancelled();
            if let Err(error) = self.store(&checkpoint).await {
                tracing::error!(component = self.metrics.name(), "the position cannot be stored: {error}");
            }
            if last {
                return;
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = tokio::time::sleep(STORE_EVERY) => {}
            }
        }
    }

    /// Stores what is safe now, if it is not stored yet, and tells the source's input.
    pub(crate) async fn store(&self, checkpoint: &Arc<Checkpoint>) -> std::io::Result<()> {
        let _one_at_a_time = self.storing.lock().await;
        let (places, committer) = {
            let mut safe = lock(&self.safe);
            if safe.is_stored {
                return Ok(());
            }
            safe.is_stored = true;
            (safe.places.clone(), safe.committer.take())
        };
        let (file, stored) = (Arc::clone(checkpoint), places.clone());
        let written = tokio::task::spawn_blocking(move || file.store(&stored)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        match (&written, committer) {
            (Err(_), committer) => {
                let mut safe = lock(&self.safe);
                safe.is_stored = false;
                safe.committer = committer;
            }
            (Ok(()), Some(mut committer)) => {
                self.commit(committer.as_mut(), &places).await;
                lock(&self.safe).committer = Some(committer);
            }
            (Ok(()), None) => {}
        }
        written
    }

    /// Tells the source's input what is safe, now that it is durable here.
    async fn commit(&self, committer: &mut dyn Commit, places: &SourcePositions) {
        for (partition, place) in places {
            let Some(position) = &place.record.position else { continue };
            if let Err(error) = committer.commit(partition, position).await {
                // It is told again with the next position; until then the input merely keeps what is done.
                tracing::warn!(component = self.metrics.name(), "the position cannot be committed: {error}");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
