//! Known plugins: the built-in ones and those of shared libraries.

pub(crate) mod builtin;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod docs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_loader::{Loader, Wanted};
use tidegate_sdk::{Plugin, Registry};

use crate::exit::Failure;
use crate::options::Libraries;

/// Variable with the folders that are searched for a library without a path.
const SEARCH_PATH: &str = "TIDEGATE_PLUGIN_PATH";

/// Plugins known before a pipeline file is read, and the loader for libraries.
#[derive(Clone)]
pub(crate) struct Plugins {
    /// Known plugins.
    pub(crate) registry: Registry,
    loader: Arc<Loader>,
}

impl Plugins {
    /// Returns the built-in plugins.
    pub(crate) fn built_in() -> Self {
        // Without the path of this program, opening a library fails with a message.
        let program = std::env::current_exe().unwrap_or_else(|_| "tidegate".into());
        Self { registry: builtin::registry(), loader: Arc::new(Loader::new(program, cache())) }
    }

    /// Adds the plugins of the libraries on the command line.
    pub(crate) fn with(&self, libraries: &Libraries) -> Result<Self, Failure> {
        let mut plugins: Vec<Plugin> = self.registry.iter().cloned().collect();
        for path in &libraries.plugin {
            let found = self.open(Path::new("."), &path.display().to_string(), None);
            plugins.extend(found.map_err(Failure::wrong)?);
        }
        Ok(Self { registry: Registry::new(plugins), loader: Arc::clone(&self.loader) })
    }

    /// Opens a library that a pipeline file in `folder` names.
    pub(crate) fn open(
        &self,
        folder: &Path,
        name: &str,
        sha256: Option<&str>,
    ) -> Result<Vec<Plugin>, String> {
        let path = if name.contains('/') {
            folder.join(name.trim_start_matches("./"))
        } else {
            search(folder, name, &search_path())?
        };
        self.loader.open(Wanted { path: &path, sha256 }).map_err(|refusal| refusal.to_string())
    }

    /// Counts the libraries in this process.
    pub(crate) fn resident(&self) -> usize {
        self.loader.resident()
    }
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os(SEARCH_PATH).map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Searches a library by its name: `geo`, `libgeo.so`.
fn search(folder: &Path, name: &str, search_path: &[PathBuf]) -> Result<PathBuf, String> {
    let names = [name.to_owned(), format!("lib{name}.so"), format!("{name}.so")];
    let all = search_path.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    if let Some(found) = all.into_iter().find(|path| path.is_file()) {
        return Ok(found);
    }
    let beside = folder.join(name);
    match (beside.is_file(), search_path.is_empty()) {
        (true, _) => Err(format!(
            "`{name}` is searched in {SEARCH_PATH} only; write `./{name}` for the file in this folder"
        )),
        (false, true) => Err(format!("`{name}` has no `/`, and {SEARCH_PATH} names no folder to search")),
        (false, false) => {
            let folders: Vec<_> =
                search_path.iter().map(|folder| format!("`{}`", folder.display())).collect();
            Err(format!("there is no library `{name}` in {SEARCH_PATH}: searched {}", folders.join(", ")))
        }
    }
}

/// Returns the cache folder of library descriptions.
fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder =
        absolute("CACHE_DIRECTORY").or_else(|| absolute("XDG_CACHE_HOME").map(|dir| dir.join("tidegate")));
    let folder = folder.or_else(|| absolute("HOME").map(|home| home.join(".cache/tidegate")));
    folder.map(|folder| folder.join("plugins"))
}
