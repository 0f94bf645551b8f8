//! Where the components of one graph put what they reject.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_config::DeadLetterOptions;
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dead_letters::budget::DeadLetterBudget;
use crate::dead_letters::letter::DeadLetter;
use crate::dead_letters::store::SharedStore;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

/// How often a store that fails is tried again. Its lane waits meanwhile.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Changes dead letters before they are kept. A replay gives them the identity of the dead letters that it replays.
pub(crate) type Relabel = Arc<dyn Fn(&mut [DeadLetter]) + Send + Sync>;

/// Where the components of one graph put what they reject: the pipeline's store, within the graph's budget.
/// A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct DeadLetterWriter {
    store: SharedStore,
    budget: Arc<Mutex<DeadLetterBudget>>,
    /// For letters that are kept only while there is room.
    spare: Arc<Mutex<DeadLetterBudget>>,
    started: Instant,
    /// Of the graph's sources.
    sources: Arc<[Arc<ComponentMetrics>]>,
    /// Cancelled when the graph drains.
    stopping: CancellationToken,
    relabel: Option<Relabel>,
}

impl DeadLetterWriter {
    /// The same for another life of its graph, which drains when `stopping` is cancelled.
    pub(crate) fn until(&self, stopping: &CancellationToken) -> Self {
        Self { stopping: stopping.clone(), ..self.clone() }
    }

    pub(crate) fn new(
        store: &SharedStore,
        options: DeadLetterOptions,
        sources: Vec<Arc<ComponentMetrics>>,
        stopping: &CancellationToken,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            budget: Arc::new(Mutex::new(DeadLetterBudget::new(options))),
            spare: Arc::new(Mutex::new(DeadLetterBudget::new(options))),
            started: Instant::now(),
            sources: sources.into(),
            stopping: stopping.clone(),
            relabel: None,
        }
    }

    /// The same with `relabel` applied to dead letters before they are kept.
    pub(crate) fn relabelling(self, relabel: Relabel) -> Self {
        Self { relabel: Some(relabel), ..self }
    }

    /// Keeps letters of the component that `meter` counts for, and returns when they are durable. If the store
    /// fails, waits until it does not.
    pub(crate) async fn keep(
        &self,
        metrics: &ComponentMetrics,
        mut letters: Vec<DeadLetter>,
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        self.count(metrics, &letters, hard_stop).await?;
        if let Some(relabel) = &self.relabel {
            relabel(&mut letters);
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
                metrics.kept(back.len());
                if failed {
                    tracing::info!(component = metrics.name(), "the dead-letter store can be written again");
                    metrics.set_health(Health::Ready);
                }
                return Ok(());
            };
            letters = back;
            failed = true;
            let reason = format!("the dead-letter store cannot be written, so this waits: {error}");
            if metrics.set_health(Health::Unhealthy(reason.clone())) {
                tracing::error!(component = metrics.name(), "{reason}");
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = hard_stop.cancelled() => return Err(Failure::Stopped),
            }
        }
    }

    /// Keeps letters of events that clients have sent, if there is room. If there is none, or the store fails, they
    /// are counted and dropped: what clients send must not stop a graph.
    pub(crate) async fn offer(
        &self,
        metrics: &ComponentMetrics,
        mut letters: Vec<DeadLetter>,
    ) -> Result<(), Failure> {
        let (room, exceeded) = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            spare.offer(self.started.elapsed(), metrics.name(), metrics.reached(), letters.len() as u64)
        };
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(letters.len());
        if let Some(exceeded) = exceeded {
            metrics.log_not_kept(letters.len() - count, &format!("too many dead letters: {exceeded}"));
            letters.truncate(count);
        }
        if letters.is_empty() {
            return Ok(());
        }
        if let Some(relabel) = &self.relabel {
            relabel(&mut letters);
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
            Ok(()) => metrics.kept(count),
            Err(error) => {
                metrics.log_not_kept(count, &format!("the dead-letter store cannot be written: {error}"));
            }
        }
        Ok(())
    }

    /// Returns if the budget has room for these letters; else only when the graph is stopped.
    async fn count(
        &self,
        metrics: &ComponentMetrics,
        letters: &[DeadLetter],
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let counted = {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.count(self.started.elapsed(), metrics.name(), metrics.reached(), letters.len() as u64)
        };
        let Err(exceeded) = counted else { return Ok(()) };
        let latest = letters.last().map_or("", |letter| letter.reason.as_str());
        let reason = format!(
            "too many dead letters: {exceeded}; fix the cause and restart, or raise the budget; the latest reason is: {latest}"
        );
        let failure = Failure::fatal(metrics.name(), &reason);
        if self.has_end() || self.stopping.is_cancelled() {
            return Err(failure);
        }
        if metrics.set_health(Health::Blocked(reason.clone())) {
            tracing::error!(component = metrics.name(), "waits: {reason}");
        }
        loop {
            // Said again now and then, because another instance of the component may say that it is well.
            metrics.set_health(Health::Blocked(reason.clone()));
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
