//! Durability of directory entries.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the directory entries in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
