//! Lock on the folder of a pipeline's state, so that only one process writes there.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::storage::private;

/// Error of a lock that cannot be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it.
    Held {
        /// Its process id, if it could be read.
        process: Option<String>,
        path: PathBuf,
    },
    /// The lock file cannot be used.
    Failed(String),
}

/// Creates the folder for its owner alone, and locks it until the returned file is dropped.
pub(crate) fn hold(folder: &Path) -> Result<File, LockError> {
    let failed =
        |error: std::io::Error| LockError::Failed(format!("the data folder {}: {error}", folder.display()));
    private::create_folders(folder).map_err(failed)?;
    private::tighten(folder);
    let path = folder.join("lock");
    let mut file =
        private::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let process = Some(holder.trim().to_owned()).filter(|process| !process.is_empty());
            return Err(LockError::Held { process, path });
        }
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

impl fmt::Display for LockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { process, path } => {
                let process = process.as_ref().map(|process| format!(" ({process})")).unwrap_or_default();
                let path = path.display();
                write!(formatter, "another process{process} runs this pipeline (it holds {path})")
            }
            Self::Failed(message) => formatter.write_str(message),
        }
    }
}
