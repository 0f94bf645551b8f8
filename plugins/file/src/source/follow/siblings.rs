//! Search for files that are not at their paths any more: rotation leaves them beside the path, under another name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::inbox::Identity;
use crate::source::format::{self, Format};
use crate::source::listing::{folder_of, open};
use crate::source::names::path_of;
use crate::source::position::{self, FileId, FilePosition, HEAD};

/// Most names of one folder that are looked at.
const NAMES: usize = 20_000;
/// Most names that are looked at to find all files that are gone.
pub(crate) const SEARCHED: usize = 200_000;
/// Levels below the folder of a path in which a file is searched.
const DEPTH: usize = 2;
/// Resolution of the times of the file system, with a margin.
const TICK: Duration = Duration::from_millis(20);
/// Most folders whose files are remembered.
const FOLDERS: usize = 64;

/// File beside a path.
#[derive(Clone, Debug)]
pub(crate) struct Sibling {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    pub(crate) length: u64,
    pub(crate) created: Option<u64>,
    changed: Option<SystemTime>,
}

impl Sibling {
    pub(crate) fn identity(&self) -> Identity {
        (self.id, self.created)
    }
}

/// File in which reading continues at a position.
pub(crate) enum Moved {
    /// The same file, under another name.
    Same(PathBuf, Arc<File>),
    /// Another file with the same contents.
    Copy(PathBuf, Arc<File>),
}

/// Files in the folders of the followed paths that are not new: they were there at the start, were opened, or came while
/// nothing was rotated.
///
/// A list of a folder may lack files that are renamed at the same time. So a file that was known once stays known.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Start of the source. Everything in a folder that was created later is new.
    started: SystemTime,
    by_path: HashMap<PathBuf, Folder>,
}

impl Default for Folders {
    fn default() -> Self {
        Self { started: SystemTime::now() - TICK, by_path: HashMap::new() }
    }
}

#[derive(Debug)]
struct Folder {
    /// Time of the last change that was seen. `None` for a folder that does not exist.
    changed: Option<SystemTime>,
    known: HashSet<Identity>,
}

impl Folders {
    /// Adds folders that were not looked into yet. All files in folders that were there at the start are known.
    pub(crate) fn add(&mut self, folders: &BTreeSet<PathBuf>) {
        for folder in folders {
            if self.by_path.contains_key(folder) || self.by_path.len() >= FOLDERS {
                continue;
            }
            let created = fs::metadata(folder).and_then(|known| known.created());
            let known = match files_in(folder) {
                Ok(_) if created.is_ok_and(|created| created > self.started) => HashSet::new(),
                Ok(files) => files.into_iter().collect(),
                Err(error) if error.kind() == ErrorKind::NotFound => HashSet::new(),
                // Without a list of what is there, nothing counts as new later.
                Err(_) => continue,
            };
            self.by_path.insert(folder.clone(), Folder { changed: None, known });
        }
    }

    /// Returns the folders that may have changed since they were [completed](Self::complete).
    pub(crate) fn changed(&self) -> HashMap<PathBuf, Option<SystemTime>> {
        let now = self.by_path.keys().map(|folder| {
            let changed = fs::metadata(folder).and_then(|known| known.modified()).ok();
            (folder.clone(), changed)
        });
        let differs = |(folder, changed): &(PathBuf, Option<SystemTime>)| {
            // Two changes in one tick of the clock have the same time.
            let is_old = changed.is_none_or(|time| time.elapsed().is_ok_and(|age| age.as_secs() >= 3));
            !is_old || self.by_path.get(folder).is_none_or(|known| known.changed != *changed)
        };
        now.filter(differs).collect()
    }

    /// Makes all files of a folder known, which has changed last at this time.
    pub(crate) fn complete(&mut self, folder: &Path, changed: Option<SystemTime>) {
        let Some(known) = self.by_path.get_mut(folder) else { return };
        let Ok(files) = files_in(folder) else { return };
        known.changed = changed;
        if known.known.len() > 4 * NAMES {
            known.known.clear();
        }
        known.known.extend(files);
    }

    /// Makes a file known: it was opened.
    pub(crate) fn know(&mut self, name: &str, identity: Identity) {
        if let Some(folder) = self.by_path.get_mut(folder_of(&path_of(name))) {
            folder.known.insert(identity);
        }
    }

    /// Makes a file unknown: it was not opened.
    pub(crate) fn forget(&mut self, name: &str, identity: Identity) {
        if let Some(folder) = self.by_path.get_mut(folder_of(&path_of(name))) {
            folder.known.remove(&identity);
        }
    }

    fn knows(&self, folder: &Path, identity: Identity) -> bool {
        self.by_path.get(folder).is_none_or(|folder| folder.known.contains(&identity))
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<Identity>> {
    let known =
        fs::read_dir(folder)?.filter_map(Result::ok).take(NAMES).filter_map(|entry| entry.metadata().ok());
    Ok(known.map(|known| (FileId::of(&known), position::created(&known))).collect())
}

/// Returns the new files beside `path` that have names as rotation gives them, oldest first.
pub(crate) fn rotated_since(path: &Path, folders: &Folders) -> Vec<Sibling> {
    let folder = folder_of(path);
    rotated(path).into_iter().filter(|sibling| !folders.knows(folder, sibling.identity())).collect()
}

/// Returns the current path of a file that was at `path` or beside it a moment ago.
pub(crate) fn renamed(path: &Path, id: FileId) -> Option<PathBuf> {
    let entries = fs::read_dir(folder_of(path)).ok()?.filter_map(Result::ok).take(NAMES);
    let mut same = entries.filter(|entry| entry.ino() == id.inode);
    same.find(|entry| entry.metadata().is_ok_and(|known| FileId::of(&known) == id)).map(|entry| entry.path())
}

/// Returns the files beside `path`, with names as rotation gives them, that were created after the file of `position`, oldest
/// first. Archives are left out, because the file that an archive was made of is not known.
pub(crate) fn created_after(path: &Path, position: &FilePosition) -> Vec<Sibling> {
    let is_later = |sibling: &Sibling| {
        sibling.id != position.id
            && sibling.created.zip(position.created).is_some_and(|(one, before)| one > before)
    };
    rotated(path).into_iter().filter(is_later).collect()
}

/// Finds the file of `position`, which is not at `path` any more: under another name in the same folder, below it, or in a
/// folder beside it; or as a copy, maybe compressed, under a name as rotation gives it.
///
/// `left` is the number of names that may still be looked at.
pub(crate) fn find(path: &Path, position: &FilePosition, left: &mut usize) -> Option<Moved> {
    let folder = folder_of(path);
    let mut by_inode = search(folder, position, DEPTH, left);
    if by_inode.is_none()
        && let Some(above) = folder.parent().filter(|above| above.parent().is_some())
    {
        by_inode = search(above, position, 1, left);
    }
    if let Some((path, file)) = by_inode {
        return Some(Moved::Same(path, file));
    }
    let name = path.file_name()?.as_bytes();
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok).take(NAMES);
    // The file at the path itself is another one, even if it begins like this one.
    let mut copies = entries.filter(|entry| {
        let entry = entry.file_name();
        entry.as_bytes() != name && is_rotation_of(entry.as_bytes(), name, true)
    });
    copies.find_map(|entry| {
        let path = entry.path();
        let file = open(&path).ok().filter(|file| file.metadata().is_ok_and(|known| known.is_file()))?;
        is_copy(&file, position).then(|| Moved::Copy(path, Arc::new(file)))
    })
}

fn is_copy(file: &File, position: &FilePosition) -> bool {
    match format::of(file) {
        Ok(Format::Plain) => position.is_copied_to(file).unwrap_or(false),
        Ok(format @ (Format::Gzip | Format::Zstd)) => {
            let Ok(mut input) = file.try_clone().and_then(|file| format::open(format, &Arc::new(file)))
            else {
                return false;
            };
            let mut head = Vec::new();
            let read = input.by_ref().take(HEAD).read_to_end(&mut head);
            // A file that was compressed when it was read is not the copy of a plain one.
            read.is_ok() && !position.tail.is_empty() && position.begins_with(&head)
        }
        _ => false,
    }
}

/// Searches the file of `position` in `folder` and in folders below it.
fn search(
    folder: &Path,
    position: &FilePosition,
    depth: usize,
    left: &mut usize,
) -> Option<(PathBuf, Arc<File>)> {
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).ok()?.filter_map(Result::ok) {
        *left = left.checked_sub(1)?;
        if entry.ino() == position.id.inode
            && let Ok(file) = open(&entry.path())
            && file.metadata().is_ok_and(|known| known.is_file())
            && position.is_in(&file)
        {
            return Some((entry.path(), Arc::new(file)));
        }
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.push(entry.path());
        }
    }
    below.iter().find_map(|folder| search(folder, position, depth - 1, left))
}

fn rotated(path: &Path) -> Vec<Sibling> {
    let Some(name) = path.file_name() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok).take(NAMES);
    let named = entries.filter(|entry| is_rotation_of(entry.file_name().as_bytes(), name.as_bytes(), false));
    let mut siblings: Vec<Sibling> = named.filter_map(|entry| sibling(&entry)).collect();
    // Files that were created in one tick of the clock are ordered by their numbers. The oldest has the largest.
    siblings.sort_by_cached_key(|sibling| {
        let number = sibling.path.extension().and_then(|ending| ending.to_str()?.parse::<u16>().ok());
        (sibling.created, sibling.changed, number.map(std::cmp::Reverse), sibling.path.clone())
    });
    siblings
}

fn sibling(entry: &fs::DirEntry) -> Option<Sibling> {
    let known: Metadata = entry.metadata().ok().filter(Metadata::is_file)?;
    Some(Sibling {
        path: entry.path(),
        id: FileId::of(&known),
        length: known.len(),
        created: position::created(&known),
        changed: known.modified().ok(),
    })
}

/// Tells whether rotation renames `of` to `name`: `app.log.1`, `app.log-20260131`, `app-20260131T235959Z-0001.log`; with
/// `compressed` also `app.log.2.gz`.
fn is_rotation_of(name: &[u8], of: &[u8], compressed: bool) -> bool {
    let archive = [&b".gz"[..], b".zst"].into_iter().find_map(|ending| name.strip_suffix(ending));
    let name = match archive {
        Some(inner) if compressed && !of.ends_with(b".gz") && !of.ends_with(b".zst") => inner,
        Some(_) if !of.ends_with(b".gz") && !of.ends_with(b".zst") => return false,
        _ => name,
    };
    if compressed && name == of {
        return true;
    }
    let mark = |mark: &[u8]| {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b".-_:TZ".contains(byte);
        matches!(mark, [b'.' | b'-' | b'_', _, ..])
            && mark.iter().all(is_part)
            && mark.iter().any(u8::is_ascii_digit)
    };
    let whole = name.strip_prefix(of).is_some_and(mark);
    let dots = of.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    let mut splits = dots.map(|at| of.split_at(at));
    let between = |(stem, ending): (&[u8], &[u8])| {
        name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending)).is_some_and(mark)
    };
    whole || splits.any(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files_are_recognised() {
        let is = |name: &str| is_rotation_of(name.as_bytes(), b"app.log", false);
        for name in [
            "app.log.1",
            "app.log.12",
            "app.log-20260131",
            "app.log.2026-01-31_12",
            "app.1.log",
            "app-20260131T235959Z-0001.log",
        ] {
            assert!(is(name), "{name}");
        }
        for name in [
            "app.log",
            "app.log.bak",
            "app.log.1.gz",
            "app.logs.1",
            "other.log.1",
            "app.log.",
            "app.log.tidegate",
        ] {
            assert!(!is(name), "{name}");
        }
        assert!(is_rotation_of(b"app.log.2.gz", b"app.log", true));
        assert!(is_rotation_of(b"app.log.gz", b"app.log", true));
        assert!(!is_rotation_of(b"app.log.bak.gz", b"app.log", true));
    }
}
