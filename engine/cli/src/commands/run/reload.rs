//! A running engine with the files that its pipelines come from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tidegate_config::Pipeline;
use tidegate_runtime::Engine;
use tidegate_runtime::status::GraphStatus;
use tidegate_sdk::Tasks;

use super::reloads::{Outcome, Reloads};
use super::summary::DeadLetterStore;
use super::watch::Pipelines;
use crate::files::{Files, warn_of_orphaned_positions};
use crate::guarantees;
use crate::options::Sources;
use crate::registry::Plugins;
use crate::terminal::Paint;

/// Origin of the pipelines, and the settings that their files are checked against.
#[derive(Clone)]
pub(crate) struct Origin {
    /// Paths and overrides of the command line.
    pub(crate) sources: Sources,
    /// Address of the admin server, which no component may listen on.
    pub(crate) admin: Option<SocketAddr>,
    /// Folder of checkpoints and dead letters.
    pub(crate) data_dir: PathBuf,
    /// Built-in plugins, and the loader of libraries.
    pub(crate) plugins: Plugins,
}

impl Origin {
    /// Reads and checks the files. Logs their problems and guarantees. Blocks.
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
        let pipelines: Vec<Pipeline> = files.pipelines().cloned().collect();
        guarantees::log(pipelines.iter());
        warn_of_orphaned_positions(&pipelines, &self.data_dir);
        Ok(pipelines)
    }
}

/// An engine whose pipelines can be replaced.
pub(crate) struct Reloadable {
    engine: Arc<Engine>,
    origin: Origin,
    state: Mutex<State>,
}

struct State {
    stores: Vec<DeadLetterStore>,
    reloads: Reloads,
}

impl Reloadable {
    /// Wraps an engine that runs the pipelines of `origin`.
    pub(crate) fn new(engine: Engine, origin: Origin, stores: Vec<DeadLetterStore>) -> Self {
        let state = Mutex::new(State { stores, reloads: Reloads::default() });
        Self { engine: Arc::new(engine), origin, state }
    }

    /// Returns the dead-letter stores of the running pipelines.
    pub(crate) fn stores(&self) -> Vec<DeadLetterStore> {
        self.state().stores.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn replace(&self) -> (Outcome, String) {
        // Files, secrets and libraries may take any time, and no async worker waits for them.
        let origin = self.origin.clone();
        let read = Tasks::new().spawn_blocking(move || origin.read()).await;
        let pipelines = match read.unwrap_or_else(|error| Err(format!("reading ended early: {error}"))) {
            Ok(pipelines) => pipelines,
            Err(reason) => return (Outcome::Refused, reason),
        };
        let stores: Vec<_> = pipelines.iter().map(DeadLetterStore::of).collect();
        match self.engine.reload(pipelines).await {
            Err(reason) => (Outcome::Refused, reason.to_string()),
            Ok(reloaded) => {
                self.state().stores = stores;
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
        // Stored before it is logged: a client that reads the line finds it in `/status`.
        self.state().reloads.add(outcome, &message);
        match outcome {
            Outcome::Done => tracing::info!("reloaded: {message}"),
            Outcome::Refused => {
                tracing::error!("reload refused: {message}; the pipelines run on as they were");
            }
            Outcome::Incomplete => tracing::error!("reload incomplete: {message}"),
        }
    }

    fn reloads(&self) -> Reloads {
        Reloads { resident_libraries: self.origin.plugins.resident(), ..self.state().reloads.clone() }
    }
}
