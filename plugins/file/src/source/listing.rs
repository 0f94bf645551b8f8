//! Paths and globs, and the files that they lead to.

mod pattern;
mod walk;

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tidegate_sdk::{ConfigError, Error};

use super::names::shown;
use super::position::FileId;
use crate::failure::{failed, reason};
use walk::Glob;

/// Most files of one source.
const FILES: usize = 100_000;
/// Most problems that one look reports.
const PROBLEMS: usize = 100;

/// Paths and globs of one source.
#[derive(Clone, Debug)]
pub(crate) struct Listing(Vec<(String, Option<Glob>)>);

/// File that a path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) known: Metadata,
    /// Tells whether a symbolic link leads to it.
    linked: bool,
}

/// Files that exist, and paths that could not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Files in the order of their paths, each once, though several paths may lead to it.
    pub(crate) files: Vec<Seen>,
    pub(crate) problems: Vec<(PathBuf, io::Error)>,
}

impl Listing {
    pub(crate) fn new(paths: &[String]) -> Result<Self, ConfigError> {
        let entry = |path: &String| {
            if path.is_empty() {
                return Err(ConfigError::at("/path", "a path is empty"));
            }
            if !is_glob(path) {
                return Ok((path.clone(), None));
            }
            let bad = |why| ConfigError::at("/path", format!("`{path}` is not a glob: {why}"));
            Ok((path.clone(), Some(Glob::new(path).map_err(bad)?)))
        };
        paths.iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the files that exist now.
    ///
    /// # Errors
    /// If there are too many, or a path leads to something that is not a file.
    pub(crate) fn files(&self) -> Result<Listed, Error> {
        let mut all = Listed::default();
        for (path, glob) in &self.0 {
            expand(path, glob.as_ref(), &mut all);
        }
        if let Some(seen) = all.files.iter().find(|seen| !seen.known.is_file()) {
            return Err(not_a_file(&seen.path, &seen.known));
        }
        if all.files.len() > FILES {
            return Err(Error::fatal(format!("the paths lead to more than {FILES} files; narrow them")));
        }
        all.deduplicate();
        Ok(all)
    }

    /// Returns the files that exist now.
    ///
    /// # Errors
    /// If a path leads to no file, and as [`files`](Self::files).
    pub(crate) fn files_that_exist(&self) -> Result<Listed, Error> {
        for (path, glob) in &self.0 {
            let mut listed = Listed::default();
            expand(path, glob.as_ref(), &mut listed);
            if listed.files.is_empty() {
                return Err(missing(path, &listed.problems));
            }
        }
        self.files()
    }

    /// Returns the paths without wildcards.
    pub(crate) fn literal_paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|(_, glob)| glob.is_none()).map(|(path, _)| Path::new(path))
    }

    /// Returns the folders in which files are expected, as far as they are written without wildcards.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.0.iter().filter_map(|(path, glob)| match glob {
            Some(glob) => glob.folder(),
            None => Some(folder_of(Path::new(path)).to_owned()),
        })
    }

    /// Tells whether `path`, in one of [`folders`](Self::folders), is one that is read.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        self.0.iter().any(|(literal, glob)| match glob {
            Some(glob) => glob.folder().is_some_and(|folder| folder == folder_of(path)) && glob.names(name),
            None => {
                let literal = Path::new(literal);
                literal.file_name() == Some(name) && folder_of(literal) == folder_of(path)
            }
        })
    }
}

/// Returns the folder of a file: `.` for a name alone.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Listed {
    /// Adds a problem. A path that does not exist is none.
    fn problem(&mut self, path: PathBuf, error: io::Error) {
        let is_gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        if !is_gone && self.problems.len() < PROBLEMS && self.problems.iter().all(|(known, _)| *known != path)
        {
            self.problems.push((path, error));
        }
    }

    /// Keeps each file once, with a path that needs no link if there is one.
    fn deduplicate(&mut self) {
        self.files.sort_by(|one, other| (one.linked, &one.path).cmp(&(other.linked, &other.path)));
        let mut known = HashSet::with_capacity(self.files.len());
        self.files.retain(|seen| known.insert(FileId::of(&seen.known)));
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
    }
}

/// Opens a file without waiting, as opening a pipe would.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
}

fn expand(path: &str, glob: Option<&Glob>, listed: &mut Listed) {
    match (fs::metadata(path), glob) {
        (Ok(known), _) => {
            let linked = fs::symlink_metadata(path).is_ok_and(|known| known.is_symlink());
            listed.files.push(Seen { path: path.into(), known, linked });
        }
        (Err(_), Some(glob)) => glob.expand(listed),
        (Err(error), None) => listed.problem(path.into(), error),
    }
}

pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Returns the error for a path that leads to something that has no positions.
fn not_a_file(path: &Path, known: &Metadata) -> Error {
    let (kind, name) = (known.file_type(), shown(path));
    Error::fatal(if kind.is_dir() {
        format!("`{name}` is a folder; write `{}/*` to read the files in it", name.trim_end_matches('/'))
    } else if kind.is_fifo() {
        format!(
            "`{name}` is a named pipe, which has no position to resume from; read it with `stdin` or `exec`"
        )
    } else if kind.is_socket() {
        format!("`{name}` is a socket, not a file; read it with `exec`")
    } else {
        format!("`{name}` is a device, not a file; read it with `stdin` or `exec`")
    })
}

/// Returns the error for a path without a file. It names the current folder for a relative path.
fn missing(path: &str, problems: &[(PathBuf, io::Error)]) -> Error {
    if let Some((folder, error)) = problems.first() {
        let folder = shown(folder);
        return if folder == path {
            failed(format!("{path} cannot be read"), error)
        } else {
            failed(format!("no file matches `{path}`: {folder} cannot be read"), error)
        };
    }
    let folder = match std::env::current_dir() {
        Ok(folder) if Path::new(path).is_relative() => format!(" (looked in {})", folder.display()),
        _ => String::new(),
    };
    Error::fatal(if is_glob(path) {
        format!("no file matches `{path}`{folder}")
    } else {
        format!("there is no file `{path}`{folder}")
    })
}

/// Warns that files are left out because a folder or file cannot be read.
pub(crate) fn warn(path: &Path, error: &io::Error) {
    let (name, why) = (shown(path), reason(error));
    tracing::warn!(file = %name, "{name} cannot be read: {why}; its files are left out");
}

#[cfg(test)]
mod tests;
