//! Expansion of globs.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::pattern::Pattern;
use super::{FILES, Listed, Seen, is_glob};
use crate::source::position::FileId;

/// Path with wildcards, component by component.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    /// `/`, or empty.
    root: PathBuf,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Name(String),
    Names(Pattern),
    /// `**`: this folder and every one below it.
    Folders,
}

impl Glob {
    /// # Errors
    /// The reason why it is no glob.
    pub(crate) fn new(path: &str) -> Result<Self, &'static str> {
        let root = if path.starts_with('/') { "/" } else { "" };
        let mut parts: Vec<Part> = Vec::new();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            parts.push(match component {
                "**" if matches!(parts.last(), Some(Part::Folders)) => continue,
                "**" => Part::Folders,
                names if is_glob(names) => Part::Names(Pattern::new(names)?),
                name => Part::Name(name.to_owned()),
            });
        }
        if let Some(Part::Folders) = parts.last() {
            parts.push(Part::Names(Pattern::new("*")?));
        }
        Ok(Self { root: root.into(), parts })
    }

    /// Returns the folder that the names are matched in, if only the last component has wildcards.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let (Part::Names(_), folders) = self.parts.split_last()? else { return None };
        let mut folder = self.root.clone();
        for part in folders {
            let Part::Name(name) = part else { return None };
            folder.push(name);
        }
        Some(if folder.as_os_str().is_empty() { ".".into() } else { folder })
    }

    /// Tells whether the last component matches `name`.
    pub(crate) fn names(&self, name: &OsStr) -> bool {
        matches!(self.parts.last(), Some(Part::Names(pattern)) if pattern.matches(name.as_bytes()))
    }

    /// Adds the regular files that match. A folder that cannot be listed is added as a problem.
    pub(crate) fn expand(&self, listed: &mut Listed) {
        let mut walk = Walk { parts: &self.parts, listed, folders: HashSet::new(), linked: Vec::new() };
        walk.visit(&self.root, 0, false);
        // Links to folders come last, so that a file is found by a path without links.
        while let Some((folder, at)) = walk.linked.pop() {
            walk.visit(&folder, at, true);
        }
    }
}

struct Walk<'a> {
    parts: &'a [Part],
    listed: &'a mut Listed,
    /// Folders that `**` has entered, each with a position in the glob. A link that leads back ends there.
    folders: HashSet<(FileId, usize)>,
    linked: Vec<(PathBuf, usize)>,
}

impl Walk<'_> {
    /// Matches the entries of `folder` with the parts from index `at` on.
    fn visit(&mut self, folder: &Path, at: usize, linked: bool) {
        if self.listed.files.len() > FILES {
            return;
        }
        match &self.parts[at] {
            Part::Name(name) if at + 1 == self.parts.len() => {
                let path = folder.join(name);
                match fs::metadata(&path) {
                    Ok(known) => self.found(path, &known, linked),
                    Err(error) => self.listed.problem(path, error),
                }
            }
            Part::Name(name) => self.visit(&folder.join(name), at + 1, linked),
            Part::Names(pattern) => self.names(folder, pattern, at, linked),
            Part::Folders => self.folders(folder, at, linked),
        }
    }

    fn names(&mut self, folder: &Path, pattern: &Pattern, at: usize, linked: bool) {
        let last = at + 1 == self.parts.len();
        for entry in self.entries(folder) {
            if !pattern.matches(entry.file_name().as_bytes()) {
                continue;
            }
            let (path, is_link) = (folder.join(entry.file_name()), is_link(&entry));
            match fs::metadata(&path) {
                Ok(known) if last => self.found(path, &known, linked || is_link),
                Ok(known) if known.is_dir() => self.visit(&path, at + 1, linked || is_link),
                Ok(_) => {}
                Err(error) => self.listed.problem(path, error),
            }
        }
    }

    fn folders(&mut self, folder: &Path, at: usize, linked: bool) {
        let path = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::metadata(path) {
            Ok(_) if self.folders.len() >= FILES => return,
            Ok(known) if self.folders.insert((FileId::of(&known), at)) => {}
            Ok(_) => return,
            Err(error) => return self.listed.problem(path.to_owned(), error),
        }
        self.visit(folder, at + 1, linked);
        for entry in self.entries(folder) {
            if entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            let path = folder.join(entry.file_name());
            if is_link(&entry) {
                if fs::metadata(&path).is_ok_and(|known| known.is_dir()) {
                    self.linked.push((path, at));
                }
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.folders(&path, at, linked);
            }
        }
    }

    fn entries(&mut self, folder: &Path) -> Vec<fs::DirEntry> {
        let path = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::read_dir(path) {
            Ok(entries) => {
                let mut entries: Vec<fs::DirEntry> = entries.filter_map(Result::ok).collect();
                entries.sort_by_key(fs::DirEntry::file_name);
                entries
            }
            Err(error) => {
                self.listed.problem(path.to_owned(), error);
                Vec::new()
            }
        }
    }

    fn found(&mut self, path: PathBuf, known: &Metadata, linked: bool) {
        if known.is_file() {
            self.listed.files.push(Seen { path, known: known.clone(), linked });
        }
    }
}

fn is_link(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_symlink())
}
