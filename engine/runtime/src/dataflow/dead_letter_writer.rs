//! Writer of dead letters for the components of one graph.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_config::DeadLetterOptions;
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;
use crate::dead_letters::budget::DeadLetterBudget;
use crate::dead_letters::dead_letter::DeadLetter;
use crate::dead_letters::store::SharedStore;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::status::Health;

/// Pause between two tries to write the store. Its component waits meanwhile.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Changes dead letters before they are kept. A replay gives them the identity of the dead letters that it replays.
pub(crate) type Relabel = Arc<dyn Fn(&mut [DeadLetter]) + Send + Sync>;

/// Writer of dead letters into the pipeline's store, within the graph's budget. A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct DeadLetterWriter {
    store: SharedStore,
    budget: Arc<Mutex<DeadLetterBudget>>,
    /// Budget of dead letters that are dropped where there is no room.
    spare: Arc<Mutex<DeadLetterBudget>>,
    started: Instant,
    /// Metrics of the graph's sources.
    sources: Arc<[Arc<ComponentMetrics>]>,
    /// Cancelled when the graph drains.
    stopping: CancellationToken,
    relabel: Option<Relabel>,
}

impl DeadLetterWriter {
    /// Copies the writer for another start of its graph, which drains when `stopping` is cancelled.
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

    /// Sets a function that changes dead letters before they are kept.
    pub(crate) fn relabelling(self, relabel: Relabel) -> Self {
        Self { relabel: Some(relabel), ..self }
    }

    /// Keeps dead letters of a component, and returns when they are durable. Retries until the store can be written.
    pub(crate) async fn keep(
        &self,
        metrics: &ComponentMetrics,
        mut dead_letters: Vec<DeadLetter>,
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        self.count(metrics, &dead_letters, hard_stop).await?;
        if let Some(relabel) = &self.relabel {
            relabel(&mut dead_letters);
        }
        let mut failed = false;
        loop {
            let store = Arc::clone(&self.store);
            let write = move || {
                let mut store = store.lock();
                let written = store.append(&mut dead_letters);
                (dead_letters, written)
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
            dead_letters = back;
            failed = true;
            let reason = format!("the dead-letter store cannot be written, so the component waits: {error}");
            if metrics.set_health(Health::Unhealthy(reason.clone())) {
                tracing::error!(component = metrics.name(), "{reason}");
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = hard_stop.cancelled() => return Err(Failure::Stopped),
            }
        }
    }

    /// Keeps dead letters of events that clients have sent, as far as there is room. Without room, or if the store cannot
    /// be written, they are counted and dropped: requests must not stop a graph.
    pub(crate) async fn offer(
        &self,
        metrics: &ComponentMetrics,
        mut dead_letters: Vec<DeadLetter>,
    ) -> Result<(), Failure> {
        let (room, exceeded) = {
            let mut spare = self.spare.lock();
            spare.offer(self.started.elapsed(), metrics.name(), metrics.reached(), dead_letters.len() as u64)
        };
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(dead_letters.len());
        if let Some(exceeded) = exceeded {
            metrics.log_not_kept(dead_letters.len() - count, &format!("too many dead letters: {exceeded}"));
            dead_letters.truncate(count);
        }
        if dead_letters.is_empty() {
            return Ok(());
        }
        if let Some(relabel) = &self.relabel {
            relabel(&mut dead_letters);
        }
        let store = Arc::clone(&self.store);
        let write = move || {
            let mut store = store.lock();
            store.append(&mut dead_letters)
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

    /// Counts dead letters against the budget. Without room, returns only when the graph stops.
    async fn count(
        &self,
        metrics: &ComponentMetrics,
        dead_letters: &[DeadLetter],
        hard_stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let counted = {
            let mut budget = self.budget.lock();
            budget.count(self.started.elapsed(), metrics.name(), metrics.reached(), dead_letters.len() as u64)
        };
        let Err(exceeded) = counted else { return Ok(()) };
        let latest = dead_letters.last().map_or("", |dead_letter| dead_letter.reason.as_str());
        let reason = format!(
            "too many dead letters: {exceeded}; fix the cause and restart, or raise the budget; the latest reason is: {latest}"
        );
        if self.has_end() {
            return Err(Failure::fatal(metrics.name(), &reason));
        }
        if metrics.set_health(Health::Blocked(reason.clone())) && !self.stopping.is_cancelled() {
            tracing::error!(component = metrics.name(), "waits: {reason}");
        }
        tokio::select! {
            () = hard_stop.cancelled() => Err(Failure::Stopped),
            // Nothing that is in flight here can be delivered, so the drain does not wait for it.
            () = self.stopping.cancelled() => {
                Err(Failure::Undeliverable(format!("`{}`: {reason}", metrics.name())))
            }
        }
    }

    /// Returns whether every source knows the end of its input. A run with an end fails rather than waits.
    fn has_end(&self) -> bool {
        self.sources.iter().all(|source| source.has_end())
    }
}
