//! One file brought to what the ledger says of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use tidegate_sdk::Error;

use super::ledger::{Mark, Sealing};
use super::options::SinkOptions;
use super::rotate;
use super::target::mend;
use crate::failure::failed;

/// A file that is open and ends where its mark says.
pub(crate) struct Settled {
    pub(crate) file: File,
    pub(crate) mark: Mark,
    pub(crate) born: SystemTime,
}

/// Opens the file at `path` and cuts off what is behind its mark, after finishing a seal that was begun.
/// `None` if it is not there, and should be.
///
/// # Errors
/// Fatal if it is not what was promised: somebody else has changed it.
pub(crate) fn settle(path: &Path, mark: &Mark) -> Result<Option<Settled>, Error> {
    let unusable =
        |error: io::Error| failed(format!("{} cannot be opened for writing", path.display()), &error);
    let mark = match &mark.sealing {
        None => mark.clone(),
        Some(sealing) => {
            finish_seal(path, mark, sealing)?;
            Mark::default()
        }
    };
    let file = match open(path, false) {
        Err(error) if error.kind() == ErrorKind::NotFound && mark.length > 0 => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path).map_err(unusable)?,
        opened => opened.map_err(unusable)?,
    };
    let length = check(path, &file, &mark)?;
    if length > mark.length {
        tracing::info!(
            "{}: {} bytes behind the last commit were cut off",
            path.display(),
            length - mark.length
        );
        file.set_len(mark.length).map_err(unusable)?;
    }
    let born = born(&file, mark.length).map_err(unusable)?;
    Ok(Some(Settled { file, mark, born }))
}

/// Opens a file that the ledger does not know, or makes it, as one that can be appended to.
pub(crate) fn begin(path: &Path, options: &SinkOptions) -> Result<Settled, Error> {
    let unusable =
        |error: io::Error| failed(format!("{} cannot be opened for writing", path.display()), &error);
    let file = match open(path, false) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path).map_err(unusable)?,
        opened => opened.map_err(unusable)?,
    };
    let length = check(path, &file, &Mark::default())?;
    let begun = mend(&file, length, path, options).and_then(|length| {
        // What is there already is promised from now on, so it has to be on the disk.
        file.sync_data()?;
        Ok((Mark::of(&file, length)?, born(&file, length)?))
    });
    let (mark, born) = begun.map_err(unusable)?;
    Ok(Settled { file, mark, born })
}

/// Whether the file at `path` is this open one, and still of this length.
pub(crate) fn is_at(path: &Path, file: &File, length: u64) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino()) && named.len() == length),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The length of the file, which begins as its mark says.
fn check(path: &Path, file: &File, mark: &Mark) -> Result<u64, Error> {
    let name = path.display();
    let unreadable = |error: io::Error| failed(format!("{name} cannot be read"), &error);
    let known = file.metadata().map_err(unreadable)?;
    if !known.is_file() {
        return Err(Error::fatal(format!(
            "{name} is not a regular file, so what a crash leaves in it cannot be taken back"
        )));
    }
    if known.len() < mark.length {
        return Err(Error::fatal(format!(
            "{name} has {} bytes, but {} were delivered to it: somebody has shortened it; put it back, or start \
             the pipeline over",
            known.len(),
            mark.length
        )));
    }
    if !mark.holds(file).map_err(unreadable)? {
        return Err(Error::fatal(format!(
            "{name} does not hold what was delivered to it before byte {}: somebody has changed it; put it back, \
             or start the pipeline over",
            mark.length
        )));
    }
    Ok(known.len())
}

/// Renames the file at `path` to its sealed name, if that has not happened yet.
fn finish_seal(path: &Path, mark: &Mark, sealing: &Sealing) -> Result<(), Error> {
    let sealed = path.with_file_name(&sealing.name);
    let problem = |error: io::Error| failed(format!("{} cannot be sealed", path.display()), &error);
    if sealed.exists() {
        return rotate::sync_folder(path).map_err(problem);
    }
    let file = match open(path, false) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(problem(error)),
    };
    let known = file.as_ref().map(File::metadata).transpose().map_err(problem)?;
    match (file, known) {
        (Some(file), Some(known)) if (known.dev(), known.ino()) == (sealing.device, sealing.inode) => {
            if check(path, &file, mark)? > mark.length {
                file.set_len(mark.length).map_err(problem)?;
            }
            file.sync_data().map_err(problem)?;
            fs::rename(path, &sealed).map_err(problem)?;
        }
        // Whoever collects sealed files was faster.
        _ => tracing::info!("{} was sealed and has been moved away since", sealed.display()),
    }
    rotate::sync_folder(path).map_err(problem)
}

fn open(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(new).open(path)
}

/// Makes an empty file whose name is durable.
fn create(path: &Path) -> io::Result<File> {
    let file = open(path, true)?;
    rotate::sync_folder(path)?;
    Ok(file)
}

fn born(file: &File, length: u64) -> io::Result<SystemTime> {
    let now = SystemTime::now();
    if length == 0 {
        return Ok(now);
    }
    let known = file.metadata()?;
    Ok(known.created().or_else(|_| known.modified()).unwrap_or(now))
}
