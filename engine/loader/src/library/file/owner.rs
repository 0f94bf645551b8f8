//! The users who could have written a library, or put another in its place.
//!
//! The code of a library runs with the rights of the engine, so only users who have these rights anyway may be able to
//! choose it. The rule holds for the file, for every folder above it up to the root, and for the links and the folders
//! on the way to it if its path goes through links:
//!
//! - its owner is root or the user who runs the engine;
//! - others may not write to it;
//! - its group may write to it only if that is root's group or the group of the process, as with a group for each user;
//! - a folder with the sticky bit, such as `/tmp`, may be writable: what is in it can be replaced by its owner alone, who is
//!   looked at too.
//!
//! Access control lists are seen as far as they show in the bits of the group.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The number of links that a path may go through, as on Linux.
const LINKS: usize = 40;

/// The user and the group of the process.
#[derive(Clone, Copy, Debug)]
struct Us {
    user: u32,
    group: u32,
}

/// Checks the file, which is open, and the way to it.
///
/// # Errors
/// Why the library is not loaded, as the rest of a sentence that begins with its path.
pub(super) fn trusted(path: &Path, file: &Metadata) -> Result<(), String> {
    let us = Us { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() };
    entry(file, us).map_err(|problem| problem.of_file())?;
    let absolute = std::path::absolute(path).map_err(|error| format!("cannot be found: {error}"))?;
    let mut way = Vec::new();
    walk(&absolute, &mut way, &mut 0)?;
    // The last one is the file itself.
    for (place, metadata) in &way {
        if !metadata.is_file() {
            entry(metadata, us).map_err(|problem| problem.of_folder(place))?;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Owner(u32),
    Group(u32),
    Others,
}

impl Problem {
    fn of_file(&self) -> String {
        match self {
            Self::Owner(user) => format!(
                "belongs to another user (number {user}), so it is not loaded: copy it, or let root own it"
            ),
            Self::Group(group) => format!(
                "may be written by another group (number {group}), so it is not loaded: `chmod g-w` it"
            ),
            Self::Others => {
                "may be written by everybody on this machine, so it is not loaded: `chmod o-w` it".to_owned()
            }
        }
    }

    fn of_folder(&self, place: &Path) -> String {
        let place = place.display();
        match self {
            Self::Owner(user) => format!(
                "lies below `{place}`, whose owner (user number {user}) may put another in its place, so it is not loaded: \
                 copy it to a folder of your own"
            ),
            Self::Group(group) => format!(
                "lies below `{place}`, where another group (number {group}) may put another in its place, so it is not \
                 loaded: `chmod g-w` the folder"
            ),
            Self::Others => format!(
                "lies below `{place}`, where everybody on this machine may put another in its place, so it is not loaded: \
                 `chmod o-w` the folder"
            ),
        }
    }
}

fn entry(metadata: &Metadata, us: Us) -> Result<(), Problem> {
    judge(metadata.mode(), metadata.uid(), metadata.gid(), metadata.is_symlink(), metadata.is_dir(), us)
}

fn judge(mode: u32, user: u32, group: u32, is_link: bool, is_folder: bool, us: Us) -> Result<(), Problem> {
    if user != us.user && user != 0 {
        return Err(Problem::Owner(user));
    }
    // The mode of a link means nothing, and in a sticky folder a user cannot replace the files of another.
    if is_link || (is_folder && mode & STICKY != 0) {
        return Ok(());
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(Problem::Others);
    }
    if mode & GROUP_WRITES != 0 && group != us.group && group != 0 {
        return Err(Problem::Group(group));
    }
    Ok(())
}

/// Everything on the way to an absolute path, from the root, links followed. Returns the path without links.
fn walk(path: &Path, way: &mut Vec<(PathBuf, Metadata)>, links: &mut usize) -> Result<PathBuf, String> {
    let mut real = PathBuf::new();
    for step in path.components() {
        match step {
            Component::ParentDir => {
                real.pop();
                continue;
            }
            Component::CurDir => continue,
            step => real.push(step),
        }
        let failed = |error: std::io::Error| format!("cannot be found: {}: {error}", real.display());
        let metadata = real.symlink_metadata().map_err(failed)?;
        let target = if metadata.is_symlink() { Some(real.read_link().map_err(failed)?) } else { None };
        way.push((real.clone(), metadata));
        if let Some(target) = target {
            *links += 1;
            if *links > LINKS {
                return Err("goes through too many links".to_owned());
            }
            real.pop();
            real = walk(&real.join(target), way, links)?;
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Us = Us { user: 1000, group: 1000 };

    fn folder(mode: u32, user: u32, group: u32) -> Result<(), Problem> {
        judge(mode, user, group, false, true, US)
    }

    #[test]
    fn owners_are_root_or_the_user() {
        assert_eq!(folder(0o755, 0, 0), Ok(()));
        assert_eq!(folder(0o700, 1000, 50), Ok(()));
        assert_eq!(folder(0o755, 1001, 1000), Err(Problem::Owner(1001)));
        assert_eq!(
            judge(0o777, 1001, 1000, true, false, US),
            Err(Problem::Owner(1001)),
            "a link of somebody else"
        );
        assert_eq!(judge(0o777, 0, 0, true, false, US), Ok(()), "every link has this mode");
    }

    #[test]
    fn groups_are_roots_or_the_users_own() {
        assert_eq!(folder(0o775, 1000, 1000), Ok(()));
        assert_eq!(folder(0o775, 0, 0), Ok(()));
        assert_eq!(folder(0o775, 1000, 50), Err(Problem::Group(50)));
        assert_eq!(judge(0o664, 1000, 50, false, false, US), Err(Problem::Group(50)));
    }

    #[test]
    fn the_sticky_bit_is_for_folders() {
        assert_eq!(folder(0o1777, 0, 0), Ok(()));
        assert_eq!(folder(0o1775, 1000, 50), Ok(()));
        assert_eq!(folder(0o777, 0, 0), Err(Problem::Others));
        assert_eq!(judge(0o1757, 1000, 1000, false, false, US), Err(Problem::Others));
    }

    #[test]
    fn the_way_goes_through_links_and_the_folders_of_their_targets() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(root.join("c")).unwrap();
        std::fs::write(root.join("a/b/lib.so"), "").unwrap();
        std::os::unix::fs::symlink("../a/b", root.join("c/link")).unwrap();
        let mut way = Vec::new();
        let real = walk(&root.join("c/./link/lib.so"), &mut way, &mut 0).unwrap();
        assert_eq!(real, root.join("a/b/lib.so"));
        let places: Vec<&Path> = way.iter().map(|(place, _)| place.as_path()).collect();
        for place in ["c", "c/link", "a", "a/b", "a/b/lib.so"] {
            assert!(places.contains(&root.join(place).as_path()), "{place} is not in {places:?}");
        }
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        assert!(walk(&root.join("loop"), &mut Vec::new(), &mut 0).unwrap_err().contains("links"));
    }
}
