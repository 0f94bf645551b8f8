//! Where the pipelines of a process keep their state: one folder for each, locked as long as it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidegate_config::Pipeline;

use crate::StartError;
use crate::checkpoint::Checkpoint;
use crate::dead_letters::{self, SharedStore, Store};
use crate::lock::{self, Busy};

/// The homes of pipelines, by the pipeline's id.
pub(crate) type Homes = BTreeMap<String, Arc<Home>>;

/// The folder of one pipeline's state.
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) store: SharedStore,
    /// Held open, and with that locked, as long as the pipeline runs.
    _lock: File,
}

/// The homes of these pipelines: those in `held` as they are, the others opened and locked.
///
/// # Errors
/// If a folder cannot be made, or another process holds it. What was opened is let go again.
pub(crate) fn homes(pipelines: &[Pipeline], held: &Homes, data_dir: &Path) -> Result<Homes, StartError> {
    let mut homes = Homes::new();
    for pipeline in pipelines {
        let home = match held.get(&pipeline.id) {
            Some(home) => Arc::clone(home),
            None => Arc::new(Home::open(pipeline, data_dir)?),
        };
        homes.insert(pipeline.id.clone(), home);
    }
    Ok(homes)
}

impl Home {
    fn open(pipeline: &Pipeline, data_dir: &Path) -> Result<Self, StartError> {
        let problem = |message| StartError { pipeline: pipeline.name.clone(), message };
        let folder = data_dir.join(&pipeline.id);
        let lock = lock::hold(&folder).map_err(|busy| match busy {
            Busy::Held { .. } => {
                problem(format!("{busy}; stop it first, or give this one another --data-dir"))
            }
            Busy::Failed(_) => problem(busy.to_string()),
        })?;
        let place = dead_letters::folder(data_dir, &pipeline.id);
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
pub(crate) fn start_over(pipelines: &[Pipeline], homes: &Homes) -> Result<(), StartError> {
    for pipeline in pipelines {
        let Some(home) = homes.get(&pipeline.id) else { continue };
        for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
            Checkpoint::new(&home.folder, &node.name).clear().map_err(|error| StartError {
                pipeline: pipeline.name.clone(),
                message: format!("the positions in {}: {error}", home.folder.display()),
            })?;
        }
    }
    Ok(())
}
