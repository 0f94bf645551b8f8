//! The front door: start pipelines, look at them, stop them.

use std::path::PathBuf;

use tidegate_config::Pipeline;
use tidegate_sdk::Size;

use crate::status::GraphStatus;

/// What a process gives to all its pipelines.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of checkpoints and dead letters; one folder in it per pipeline id.
    pub data_dir: PathBuf,
    /// How many bytes may be in flight in all pipelines together.
    pub memory: Size,
}

/// Pipelines that run side by side.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Starts every graph of these pipelines. To be called within a tokio runtime of several threads.
    ///
    /// # Errors
    /// If a data folder cannot be made, or another process holds it.
    pub fn start(_pipelines: Vec<Pipeline>, _options: &Options) -> Result<Self, StartError> {
        Ok(Self {})
    }

    /// Every graph as it is now.
    pub fn status(&self) -> Vec<GraphStatus> {
        Vec::new()
    }

    /// Asks every graph to finish what is in flight and stop. The drain deadline counts from now.
    pub fn drain(&self) {}

    /// Waits until every graph is over. May be called while others look at [`status`](Self::status).
    pub async fn finished(&self) {}

    /// Ends everything at once: what is in flight counts as not delivered.
    pub fn abort(&self) {}
}

/// Why pipelines could not be started.
#[derive(Debug)]
pub struct StartError {
    /// The pipeline's name.
    pub pipeline: String,
    /// What went wrong, with the path.
    pub message: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "pipeline `{}`: {}", self.pipeline, self.message)
    }
}

impl std::error::Error for StartError {}
