//! What runs and may be replaced: reads the pipeline files again when asked, and remembers what came of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_config::Pipeline;
use tidegate_runtime::Engine;
use tidegate_runtime::status::GraphStatus;

use super::reloads::{Outcome, Reloads};
use super::summary::DeadLetterStore;
use super::watch::Pipelines;
use crate::files::Files;
use crate::files::leftovers;
use crate::guarantees;
use crate::options::Sources;
use crate::registry::Plugins;
use crate::terminal::Paint;

/// An engine, and where its pipelines come from.
pub(crate) struct Reloadable {
    engine: Arc<Engine>,
    sources: Sources,
    admin: Option<SocketAddr>,
    data_dir: PathBuf,
    plugins: Plugins,
    known: Mutex<Known>,
}

struct Known {
    stores: Vec<DeadLetterStore>,
    reloads: Reloads,
}

impl Reloadable {
    /// An engine that runs these pipelines, which were read from `sources`, beside an admin server at `admin`.
    pub(crate) fn new(
        engine: Engine,
        sources: Sources,
        admin: Option<SocketAddr>,
        plugins: Plugins,
        stores: Vec<DeadLetterStore>,
        data_dir: PathBuf,
    ) -> Self {
        let known = Mutex::new(Known { stores, reloads: Reloads::default() });
        Self { engine: Arc::new(engine), sources, admin, data_dir, plugins, known }
    }

    /// The dead-letter stores of the pipelines that run.
    pub(crate) fn stores(&self) -> Vec<DeadLetterStore> {
        self.known().stores.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads every file. Everything that is wrong with them is logged.
    fn read(&self) -> Result<Vec<Pipeline>, String> {
        let files = Files::load(&self.sources, &self.plugins, self.admin);
        let rendered = files.render(Paint::PLAIN);
        match files.tally() {
            (0, 0) => {}
            (0, _) => tracing::warn!("reload: {}\n{}", files.verdict(), rendered.trim_end()),
            _ => {
                let reason = format!("{} in the pipeline files", files.verdict());
                tracing::error!("{reason}:\n{}", rendered.trim_end());
                return Err(reason);
            }
        }
        Ok(files.pipelines().cloned().collect())
    }

    async fn replace(&self) -> (Outcome, String) {
        let pipelines = match self.read() {
            Ok(pipelines) => pipelines,
            Err(reason) => return (Outcome::Refused, reason),
        };
        let stores: Vec<_> = pipelines.iter().map(DeadLetterStore::of).collect();
        guarantees::log(pipelines.iter());
        leftovers(&pipelines, &self.data_dir);
        match self.engine.reload(pipelines).await {
            Err(reason) => (Outcome::Refused, reason.to_string()),
            Ok(reloaded) => {
                self.known().stores = stores;
                let outcome = if reloaded.failed.is_empty() { Outcome::Done } else { Outcome::Incomplete };
                (outcome, reloaded.to_string())
            }
        }
    }
}

impl Pipelines for Reloadable {
    fn status(&self) -> Vec<GraphStatus> {
        self.engine.status()
    }

    fn drain(&self) {
        self.engine.drain();
    }

    fn abort(&self) {
        self.engine.abort();
    }

    async fn finished(&self) {
        self.engine.finished().await;
    }

    async fn reload(&self) {
        tracing::info!("reloading the pipeline files");
        let (outcome, message) = self.replace().await;
        // Who reads the line and then asks for the status finds it there.
        self.known().reloads.add(outcome, &message);
        match outcome {
            Outcome::Done => tracing::info!("reloaded: {message}"),
            Outcome::Refused => {
                tracing::error!("reload refused: {message}; the pipelines run on as they were");
            }
            Outcome::Incomplete => tracing::error!("reload incomplete: {message}"),
        }
    }

    fn reloads(&self) -> Reloads {
        Reloads { resident_libraries: self.plugins.resident(), ..self.known().reloads.clone() }
    }
}
