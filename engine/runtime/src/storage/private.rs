//! Files and folders that only their owner can read: payloads of dead letters, positions.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Bits of a mode that give rights to the group and to others.
const OTHERS: u32 = 0o077;
/// Depth of a folder of state: the pipeline, its dead letters, their files.
const DEEPEST: usize = 3;

/// Creates the folder and its missing parents for their owner alone. A folder that exists keeps its mode.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Options to create a file for its owner alone.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Creates or truncates a file, for its owner alone even if it existed with another mode.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = options().write(true).create(true).truncate(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Removes the rights of other users from a folder and everything in it.
///
/// A mode that cannot be changed is only logged: a file system without modes can still hold the state.
pub(crate) fn tighten(folder: &Path) {
    let mut tightened = 0;
    if let Err(error) = walk(folder, 0, &mut tightened) {
        tracing::warn!(
            "other users of this machine may read the state in {}, and its mode cannot be changed: {error}",
            folder.display()
        );
    }
    if tightened > 0 {
        tracing::warn!(
            "other users of this machine could read the state in {}: the modes of {tightened} files and folders are \
             0600 and 0700 now",
            folder.display()
        );
    }
}

fn walk(path: &Path, depth: usize, tightened: &mut u64) -> io::Result<()> {
    let known = fs::symlink_metadata(path)?;
    if known.is_symlink() {
        return Ok(());
    }
    let mode = known.permissions().mode();
    if mode & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !OTHERS))?;
        *tightened += 1;
    }
    if known.is_dir() && depth < DEEPEST {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), depth + 1, tightened)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_entries_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        create_folders(&deep).unwrap();
        assert_eq!((mode(&deep), mode(deep.parent().unwrap())), (0o700, 0o700));
        let file = deep.join("x");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        create(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        drop(options().append(true).create_new(true).open(deep.join("y")).unwrap());
        assert_eq!(mode(&deep.join("y")), 0o600);
    }

    #[test]
    fn existing_entries_are_tightened_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (state, outside) = (folder.path().join("p"), folder.path().join("outside"));
        fs::create_dir_all(state.join("dead-letters")).unwrap();
        fs::write(state.join("dead-letters/1.jsonl"), "").unwrap();
        fs::write(&outside, "").unwrap();
        std::os::unix::fs::symlink(&outside, state.join("link")).unwrap();
        for path in [&state, &state.join("dead-letters"), &state.join("dead-letters/1.jsonl"), &outside] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        let mut tightened = 0;
        walk(&state, 0, &mut tightened).unwrap();
        assert_eq!(tightened, 3);
        assert_eq!(mode(&state.join("dead-letters/1.jsonl")), 0o700, "the owner keeps its rights");
        assert_eq!((mode(&state), mode(&outside)), (0o700, 0o755));
        walk(&state, 0, &mut tightened).unwrap();
        assert_eq!(tightened, 3, "nothing is left to change");
    }
}
