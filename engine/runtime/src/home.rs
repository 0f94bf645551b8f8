//! Where the pipelines of a process keep their state: one folder for each, locked as long as it runs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidegate_config::Pipeline;

use crate::StartError;
use crate::checkpoint::Checkpoint;
use crate::dead_letters::{self, Store};
use crate::outlets::SharedStore;

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
        let lock = lock(&folder).map_err(problem)?;
        let store = Store::open(dead_letters::folder(data_dir, &pipeline.id))
            .map_err(|error| problem(format!("the dead letters in {}: {error}", folder.display())))?;
        Ok(Self { folder, store: Arc::new(Mutex::new(store)), _lock: lock })
    }
}

/// Makes the folder of a pipeline's state and holds its lock, so that no two processes write there.
fn lock(folder: &Path) -> Result<File, String> {
    let told = |error: std::io::Error| format!("the data folder {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(told)?;
    let path = folder.join("lock");
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(told(error)),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(format!(
                "another process{} runs this pipeline (it holds {}); stop it first, or give this one another --data-dir",
                Some(holder.trim())
                    .filter(|pid| !pid.is_empty())
                    .map(|pid| format!(" ({pid})"))
                    .unwrap_or_default(),
                path.display()
            ));
        }
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(told)?;
    Ok(file)
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
