//! Where the pipelines of a process keep their state: one folder for each, locked as long as it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidegate_config::Pipeline;

use crate::dead_letters::store::{self, SharedStore, Store};
use crate::delivery::checkpoint::Checkpoint;
use crate::storage::lock::{self, Busy};
use crate::supervise::start_error::StartError;

/// The homes of pipelines, by the pipeline's id.
pub(crate) type PipelineDirs = BTreeMap<String, Arc<PipelineDir>>;

/// The folder of one pipeline's state.
pub(crate) struct PipelineDir {
    pub(crate) folder: PathBuf,
    pub(crate) store: SharedStore,
    /// Held open, and with that locked, as long as the pipeline runs.
    _lock: File,
}

/// The homes of these pipelines: those in `held` as they are, the others opened and locked.
///
/// # Errors
/// If a folder cannot be made, or another process holds it. What was opened is let go again.
pub(crate) fn dirs(
    pipelines: &[Pipeline],
    held: &PipelineDirs,
    data_dir: &Path,
) -> Result<PipelineDirs, StartError> {
    let mut dirs = PipelineDirs::new();
    for pipeline in pipelines {
        let dir = match held.get(&pipeline.id) {
            Some(dir) => Arc::clone(dir),
            None => Arc::new(PipelineDir::open(pipeline, data_dir)?),
        };
        dirs.insert(pipeline.id.clone(), dir);
    }
    Ok(dirs)
}

impl PipelineDir {
    fn open(pipeline: &Pipeline, data_dir: &Path) -> Result<Self, StartError> {
        let problem = |message| StartError { pipeline: pipeline.name.clone(), message };
        let folder = data_dir.join(&pipeline.id);
        let lock = lock::hold(&folder).map_err(|busy| match busy {
            Busy::Held { .. } => {
                problem(format!("{busy}; stop it first, or give this one another --data-dir"))
            }
            Busy::Failed(_) => problem(busy.to_string()),
        })?;
        let place = store::folder(data_dir, &pipeline.id);
        let store = Store::open(place, pipeline.settings.dead_letters.size)
            .map_err(|error| problem(format!("the dead letters in {}: {error}", folder.display())))?;
        Ok(Self { folder, store: Arc::new(Mutex::new(store)), _lock: lock })
    }

    /// A home whose state is held already.
    pub(crate) fn held(folder: PathBuf, lock: File, store: &SharedStore) -> Self {
        Self { folder, store: Arc::clone(store), _lock: lock }
    }
}

/// Forgets every position of these pipelines.
pub(crate) fn start_over(pipelines: &[Pipeline], dirs: &PipelineDirs) -> Result<(), StartError> {
    for pipeline in pipelines {
        let Some(dir) = dirs.get(&pipeline.id) else { continue };
        for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
            Checkpoint::new(&dir.folder, &node.name).clear().map_err(|error| StartError {
                pipeline: pipeline.name.clone(),
                message: format!("the positions in {}: {error}", dir.folder.display()),
            })?;
        }
    }
    Ok(())
}
