//! Restoration of one file to its state in the ledger.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FileType, OFlags};
use tidegate_sdk::Error;

use super::ledger::{Mark, Sealing};
use super::location::{Folder, Location};
use super::options::SinkOptions;
use super::route::Refused;
use super::target::make_appendable;
use crate::failure::failed;

/// Most names that are looked at to find a file that was moved.
const NAMES: usize = 200_000;

/// Open file that ends at its mark.
pub(crate) struct Restored {
    pub(crate) file: File,
    pub(crate) mark: Mark,
    pub(crate) created: SystemTime,
}

/// Opens the file, finishes a seal that was begun, and cuts off everything after the mark. `None` if the file is missing.
///
/// # Errors
/// Fatal if the file has changed before its mark.
pub(crate) fn restore(location: &Location, mark: &Mark) -> Result<Option<Restored>, Error> {
    let path = location.path();
    let unusable =
        |error: io::Error| failed(format!("{} cannot be opened for writing", path.display()), &error);
    let folder = match location.folder() {
        Err(error) if error.kind() == ErrorKind::NotFound && mark.length > 0 && mark.sealing.is_none() => {
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => location.make_folder(),
        opened => opened,
    };
    let folder = folder.map_err(|error| Refused::folder(location, &error).into_error())?;
    let mark = match &mark.sealing {
        None => mark.clone(),
        Some(sealing) => {
            finish_seal(path, &folder, mark, sealing)?;
            Mark::default()
        }
    };
    let file = match open(path, &folder, false)? {
        None if mark.length > 0 => return Ok(None),
        None => create(path, &folder)?,
        Some(file) => file,
    };
    let length = check(path, &file, &mark)?;
    if length > mark.length {
        tracing::info!(
            "{}: {} bytes after the last commit were cut off",
            path.display(),
            length - mark.length
        );
        file.set_len(mark.length).map_err(unusable)?;
    }
    let created = created(&file, mark.length).map_err(unusable)?;
    Ok(Some(Restored { file, mark, created }))
}

/// Opens or creates a file that the ledger does not know, and makes it ready for appending.
pub(crate) fn begin(location: &Location, options: &SinkOptions) -> Result<Restored, Refused> {
    let path = location.path();
    let folder = location.make_folder().map_err(|error| Refused::folder(location, &error))?;
    let file = match open(path, &folder, false).map_err(Refused::Error)? {
        None => create(path, &folder).map_err(Refused::Error)?,
        Some(file) => file,
    };
    let length = check(path, &file, &Mark::default()).map_err(Refused::Error)?;
    let begun = make_appendable(&file, length, path, options).and_then(|length| {
        // The present contents are committed from now on, so they must be on the disk.
        file.sync_data()?;
        Ok((Mark::of(&file, length)?, created(&file, length)?))
    });
    let (mark, created) = begun.map_err(|error| Refused::file(location, &error))?;
    Ok(Restored { file, mark, created })
}

/// Tells whether the file at the location is this open one, and still of this length.
pub(crate) fn is_at(location: &Location, file: &File, length: u64) -> io::Result<bool> {
    let open = file.metadata()?;
    match location.known() {
        Ok(named) => Ok((named.device, named.inode) == (open.dev(), open.ino()) && named.length == length),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether another file has the path of the file of the mark.
pub(crate) fn is_another(location: &Location, mark: &Mark) -> bool {
    let Some(id) = mark.id.filter(|_| mark.length > 0 && mark.sealing.is_none()) else { return false };
    let Ok(folder) = location.folder() else { return false };
    let Ok(Some(file)) = open(location.path(), &folder, false) else { return false };
    let is_same = file.metadata().is_ok_and(|known| (known.dev(), known.ino()) == id);
    // A copy that was moved back is accepted.
    !is_same && !mark.holds(&file).unwrap_or(false)
}

/// Searches a moved file below the folder of its template, and cuts off everything after its mark: those events were never
/// committed, and are written again.
pub(crate) fn restore_moved(location: &Location, mark: &Mark) {
    let path = location.path().display();
    let root = location.root().unwrap_or(Path::new("."));
    let mut left = NAMES;
    let found = mark.id.and_then(|id| search(root, id, &mut left));
    let Some((found, file)) = found else {
        tracing::warn!(
            "{path} was moved or deleted after events were delivered to it, and is not below {}: if it was moved after a \
             crash, the events after its byte {} are delivered twice",
            root.display(),
            mark.length
        );
        return;
    };
    let moved = found.display();
    let restored = check(&found, &file, mark).and_then(|length| {
        if length > mark.length {
            let cut = file.set_len(mark.length).and_then(|()| file.sync_data());
            cut.map_err(|error| failed(format!("{moved} cannot be written"), &error))?;
        }
        Ok(length - mark.length)
    });
    match restored {
        Ok(cut) => tracing::info!(
            "{path} was moved to {moved}; {cut} bytes after the last commit were cut off there"
        ),
        Err(error) => {
            tracing::warn!("{path} was moved to {moved}, and cannot be restored to its last commit: {error}");
        }
    }
}

/// Searches the file of this identity below `folder`, without following links.
fn search(folder: &Path, id: (u64, u64), left: &mut usize) -> Option<(std::path::PathBuf, File)> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.filter_map(Result::ok) {
        *left = left.checked_sub(1)?;
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            below.push(entry.path());
        } else if kind.is_file() && entry.ino() == id.1 {
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = rustix::fs::open(entry.path(), flags, rustix::fs::Mode::empty());
            let file = opened.ok().map(File::from);
            // The path may lead to another file by now.
            let is_it = |file: &File| file.metadata().is_ok_and(|known| (known.dev(), known.ino()) == id);
            if let Some(file) = file.filter(is_it) {
                return Some((entry.path(), file));
            }
        }
    }
    below.iter().find_map(|folder| search(folder, id, left))
}

/// Checks that the file has the bytes of its mark. Returns its length.
fn check(path: &Path, file: &File, mark: &Mark) -> Result<u64, Error> {
    let name = path.display();
    let unreadable = |error: io::Error| failed(format!("{name} cannot be read"), &error);
    let known = file.metadata().map_err(unreadable)?;
    if !known.is_file() {
        return Err(not_regular(path));
    }
    if known.len() < mark.length {
        return Err(Error::fatal(format!(
            "{name} has {} bytes, but {} were delivered to it: it was truncated; restore it, or start the pipeline over",
            known.len(),
            mark.length
        )));
    }
    if !mark.holds(file).map_err(unreadable)? {
        return Err(Error::fatal(format!(
            "{name} does not hold the events that were delivered to it before byte {}: it was changed; restore it, or start \
             the pipeline over",
            mark.length
        )));
    }
    Ok(known.len())
}

/// Renames the file to its sealed name, unless that has happened.
fn finish_seal(path: &Path, folder: &Folder, mark: &Mark, sealing: &Sealing) -> Result<(), Error> {
    let problem = |error: io::Error| failed(format!("{} cannot be sealed", path.display()), &error);
    let sealed = std::ffi::OsStr::new(&sealing.name);
    if folder.has(sealed) {
        return folder.sync().map_err(problem);
    }
    let file = open(path, folder, false)?;
    let known = file.as_ref().map(File::metadata).transpose().map_err(problem)?;
    match (file, known) {
        (Some(file), Some(known)) if (known.dev(), known.ino()) == (sealing.device, sealing.inode) => {
            if check(path, &file, mark)? > mark.length {
                file.set_len(mark.length).map_err(problem)?;
            }
            file.sync_data().map_err(problem)?;
            folder.rename(sealed).map_err(problem)?;
        }
        // Another process may collect sealed files.
        _ => tracing::info!("{} was sealed and then moved away", path.with_file_name(sealed).display()),
    }
    folder.sync().map_err(problem)
}

/// Opens the file. `None` if there is none.
fn open(path: &Path, folder: &Folder, new: bool) -> Result<Option<File>, Error> {
    let unusable =
        |error: io::Error| failed(format!("{} cannot be opened for writing", path.display()), &error);
    match folder.known() {
        Ok(known)
            if !matches!(known.kind, FileType::RegularFile | FileType::Symlink | FileType::Directory) =>
        {
            return Err(not_regular(path));
        }
        _ => {}
    }
    let new = if new { OFlags::CREATE } else { OFlags::empty() };
    match folder.open(OFlags::RDWR | OFlags::APPEND | new) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(error)),
    }
}

/// Creates an empty file whose name is durable.
fn create(path: &Path, folder: &Folder) -> Result<File, Error> {
    let file = open(path, folder, true)?;
    let file = file
        .ok_or_else(|| Error::retry(format!("{} was deleted just after it was created", path.display())))?;
    folder
        .sync()
        .map_err(|error| failed(format!("the folder of {} cannot be written", path.display()), &error))?;
    Ok(file)
}

fn not_regular(path: &Path) -> Error {
    Error::fatal(format!("{} is not a regular file, so events of a crash cannot be cut off", path.display()))
}

fn created(file: &File, length: u64) -> io::Result<SystemTime> {
    let now = SystemTime::now();
    if length == 0 {
        return Ok(now);
    }
    let known = file.metadata()?;
    Ok(known.created().or_else(|_| known.modified()).unwrap_or(now))
}
