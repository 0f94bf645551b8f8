//! Data folders of pipelines: one for each, locked while the pipeline runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_config::Pipeline;

use crate::dead_letters::store::{self, SharedStore, Store};
use crate::delivery::checkpoint::Checkpoint;
use crate::storage::lock::{self, LockError};
use crate::supervise::start_error::StartError;

/// Data folders by the id of the pipeline.
pub(crate) type PipelineDirs = BTreeMap<String, Arc<PipelineDir>>;

/// Data folder of one pipeline.
pub(crate) struct PipelineDir {
    pub(crate) folder: PathBuf,
    pub(crate) store: SharedStore,
    /// Holds the lock of the folder.
    _lock: File,
}

/// Opens and locks the data folders of these pipelines, except for those in `held`.
///
/// # Errors
/// If a folder cannot be created, or another process holds it. The folders that were opened are released.
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
        let lock = lock::hold(&folder).map_err(|locked| match locked {
            LockError::Held { .. } => {
                problem(format!("{locked}; stop it first, or give this one another --data-dir"))
            }
            LockError::Failed(_) => problem(locked.to_string()),
        })?;
        let place = store::folder(data_dir, &pipeline.id);
        let store = Store::open(place, pipeline.settings.dead_letters.size)
            .map_err(|error| problem(format!("the dead letters in {}: {error}", folder.display())))?;
        Ok(Self { folder, store: Arc::new(Mutex::new(store)), _lock: lock })
    }

    /// Creates the data folder of a pipeline from a lock that is held.
    pub(crate) fn held(folder: PathBuf, lock: File, store: &SharedStore) -> Self {
        Self { folder, store: Arc::clone(store), _lock: lock }
    }
}

/// Clears every position of these pipelines.
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
