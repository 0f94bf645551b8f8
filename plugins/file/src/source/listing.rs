//! Which files there are.

use std::path::{Path, PathBuf};

use glob::MatchOptions;
use tidegate_sdk::{ConfigError, Error};

use crate::failure::failed;

/// How many files one source reads, at most.
const FILES: usize = 100_000;

/// As a shell matches: `*` stays within one folder and leaves hidden files alone.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The paths and globs of one source.
#[derive(Clone, Debug)]
pub(crate) struct Listing(Vec<String>);

impl Listing {
    pub(crate) fn new(paths: &[String]) -> Result<Self, ConfigError> {
        for path in paths {
            if path.is_empty() {
                return Err(ConfigError::at("/path", "a path is empty"));
            }
            if is_glob(path) {
                let bad = |error: glob::PatternError| {
                    ConfigError::at("/path", format!("`{path}` is not a glob: {}", error.msg.to_lowercase()))
                };
                glob::Pattern::new(path).map_err(bad)?;
            }
        }
        Ok(Self(paths.to_vec()))
    }

    /// The files, in order and each once. Paths that do not exist and folders that a glob matches are left
    /// out.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        for path in &self.0 {
            self.expand(path, &mut files)?;
        }
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    /// The files, each of which exists now.
    ///
    /// # Errors
    /// Fatal if a path does not exist, or a glob matches nothing.
    pub(crate) fn files_that_exist(&self) -> Result<Vec<PathBuf>, Error> {
        for path in &self.0 {
            let mut files = Vec::new();
            self.expand(path, &mut files)?;
            if files.is_empty() {
                return Err(missing(path));
            }
            if let [file] = files.as_slice()
                && file.is_dir()
            {
                return Err(Error::fatal(format!(
                    "`{path}` is a folder; write `{}/*` to read the files in it",
                    path.trim_end_matches('/')
                )));
            }
        }
        self.files()
    }

    fn expand(&self, path: &str, files: &mut Vec<PathBuf>) -> Result<(), Error> {
        if !is_glob(path) || Path::new(path).exists() {
            if Path::new(path).exists() {
                files.push(PathBuf::from(path));
            }
            return Ok(());
        }
        let found = glob::glob_with(path, MATCHING)
            .map_err(|error| Error::fatal(format!("`{path}` is not a glob: {}", error.msg)))?;
        for file in found {
            let file = file.map_err(|error| {
                failed(format!("{} cannot be listed", error.path().display()), error.error())
            })?;
            if file.is_file() {
                files.push(file);
            }
            if files.len() > FILES {
                return Err(Error::fatal(format!("`{path}` matches more than {FILES} files; narrow it")));
            }
        }
        Ok(())
    }
}

fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Says what was looked for and, for a relative path, from where.
fn missing(path: &str) -> Error {
    let place = match std::env::current_dir() {
        Ok(folder) if Path::new(path).is_relative() => format!(" (looked in {})", folder.display()),
        _ => String::new(),
    };
    Error::fatal(match is_glob(path) {
        true => format!("no file matches `{path}`{place}"),
        false => format!("there is no file `{path}`{place}"),
    })
}
