//! The lock on the folder of a pipeline's state, so that no two processes write there.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::storage::private;

/// Why the lock is not held.
#[derive(Debug)]
pub(crate) enum Busy {
    /// Another process holds it.
    Held {
        /// Its number, if it could be read.
        process: Option<String>,
        path: PathBuf,
    },
    /// It cannot be taken at all.
    Failed(String),
}

/// Makes the folder, for its owner alone, and holds its lock for as long as what is returned lives.
pub(crate) fn hold(folder: &Path) -> Result<File, Busy> {
    let told = |error: std::io::Error| Busy::Failed(format!("the data folder {}: {error}", folder.display()));
    private::create_folders(folder).map_err(told)?;
    private::tighten(folder);
    let path = folder.join("lock");
    let mut file =
        private::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(told(error)),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let process = Some(holder.trim().to_owned()).filter(|process| !process.is_empty());
            return Err(Busy::Held { process, path });
        }
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(told)?;
    Ok(file)
}

impl fmt::Display for Busy {
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
