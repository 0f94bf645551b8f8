//! Where the components of one graph put what they reject.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_config::DeadLetterOptions;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::{Budget, DeadLetter, SharedStore};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::status::Health;

/// How often a store that fails is tried again. Its lane waits meanwhile.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Where the components of one graph put what they reject: the pipeline's store, within the graph's budget.
/// A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct Letterbox {
    store: SharedStore,
    budget: Arc<Mutex<Budget>>,
    /// For letters that are kept only while there is room.
    spare: Arc<Mutex<Budget>>,
    started: Instant,
    /// Of the graph's sources.
    sources: Arc<[Arc<Meter>]>,
    /// Cancelled when the graph drains.
    stopping: CancellationToken,
    /// What is being replayed, if this graph replays.
    ledger: Option<Arc<Ledger>>,
}

impl Letterbox {
    /// The same for another life of its graph, which drains when `stopping` is cancelled.
    pub(crate) fn until(&self, stopping: &CancellationToken) -> Self {
        Self { stopping: stopping.clone(), ..self.clone() }
    }

    pub(crate) fn new(
        store: &SharedStore,
        options: DeadLetterOptions,
        sources: Vec<Arc<Meter>>,
        stopping: &CancellationToken,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            budget: Arc::new(Mutex::new(Budget::new(options))),
            spare: Arc::new(Mutex::new(Budget::new(options))),
            started: Instant::now(),
            sources: sources.into(),
            stopping: stopping.clone(),
            ledger: None,
        }
    }

    /// The same for a graph that replays.
    pub(crate) fn replaying(self, ledger: Arc<Ledger>) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// Keeps letters of the component that `meter` counts for, and returns when they are durable. If the store
    /// fails, waits until it does not.
    pub(crate) async fn keep(
        &self,
        meter: &Meter,
        mut letters: Vec<DeadLetter>,
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        self.count(meter, &letters, hard_stop).await?;
        if let Some(ledger) = &self.ledger {
            ledger.recognise(&mut letters);
        }
        let mut failed = false;
        loop {
            let store = Arc::clone(&self.store);
            let write = move || {
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                let written = store.append(&mut letters);
                (letters, written)
            };
            let (back, written) = tokio::task::spawn_blocking(write)
                .await
                .map_err(|error| Failure::Crashed(format!("the dead-letter store: {error}")))?;
            let Err(error) = written else {
                meter.kept(back.len());
                if failed {
                    tracing::info!(component = meter.name(), "the dead-letter store can be written again");
                    meter.set_health(Health::Ready);
                }
                return Ok(());
            };
            letters = back;
            failed = true;
            let reason = format!("the dead-letter store cannot be written, so this waits: {error}");
            if meter.set_health(Health::Unhealthy(reason.clone())) {
                tracing::error!(component = meter.name(), "{reason}");
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = hard_stop.cancelled() => return Err(Failure::Stopped),
            }
        }
    }

    /// Keeps letters of events that clients have sent, if there is room. If there is none, or the store fails, they
    /// are counted and dropped: what clients send must not stop a graph.
    pub(crate) async fn offer(&self, meter: &Meter, mut letters: Vec<DeadLetter>) -> Result<(), Failure> {
        let (room, exceeded) = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            spare.offer(self.started.elapsed(), meter.name(), meter.reached(), letters.len() as u64)
        };
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(letters.len());
        if let Some(exceeded) = exceeded {
            meter.tell_not_kept(letters.len() - count, &format!("too many dead letters: {exceeded}"));
            letters.truncate(count);
        }
        if letters.is_empty() {
            return Ok(());
        }
        if let Some(ledger) = &self.ledger {
            ledger.recognise(&mut letters);
        }
        let store = Arc::clone(&self.store);
        let write = move || {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.append(&mut letters)
        };
        let written = tokio::task::spawn_blocking(write)
            .await
            .map_err(|error| Failure::Crashed(format!("the dead-letter store: {error}")))?;
        match written {
            Ok(()) => meter.kept(count),
            Err(error) => {
                meter.tell_not_kept(count, &format!("the dead-letter store cannot be written: {error}"));
            }
        }
        Ok(())
    }

    /// Returns if the budget has room for these letters; else only when the graph is stopped.
    async fn count(
        &self,
        meter: &Meter,
        letters: &[DeadLetter],
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let counted = {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.count(self.started.elapsed(), meter.name(), meter.reached(), letters.len() as u64)
        };
        let Err(exceeded) = counted else { return Ok(()) };
        let latest = letters.last().map_or("", |letter| letter.reason.as_str());
        let reason = format!(
            "too many dead letters: {exceeded}; fix the cause and restart, or raise the budget; the latest reason is: {latest}"
        );
        let failure = Failure::fatal(meter.name(), &reason);
        if self.has_end() || self.stopping.is_cancelled() {
            return Err(failure);
        }
        if meter.set_health(Health::Blocked(reason.clone())) {
            tracing::error!(component = meter.name(), "waits: {reason}");
        }
        loop {
            // Said again now and then, because another instance of the component may say that it is well.
            meter.set_health(Health::Blocked(reason.clone()));
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = hard_stop.cancelled() => return Err(Failure::Stopped),
                // Nothing of what is in flight can be finished, so there is nothing to wait for.
                () = self.stopping.cancelled() => return Err(failure),
            }
        }
    }

    /// Whether every source knows where its input ends: then somebody waits for the end.
    fn has_end(&self) -> bool {
        self.sources.iter().all(|source| source.has_end())
    }
}
