//! Ownership of a ledger: its path, its lock, its owner, and recovery after a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use tidegate_sdk::{Claim, Error, Template};

use super::confine;
use super::ledger::{Ledger, Mark, Owner, State, with_ending};
use super::location::Location;
use super::options::SinkOptions;
use super::restore::{self, restore};
use super::route::Refused;
use crate::failure::failed;

const ENDING: &str = ".tidegate";

/// Returns the path of the ledger of a sink: beside its file, or in the folder to which its paths are confined.
pub(crate) fn ledger_path(template: &Template) -> PathBuf {
    match template.as_literal() {
        Some(path) => with_ending(Path::new(path), ENDING),
        None => {
            let text = template.as_str();
            let name = &text[template.prefix().rfind('/').map_or(0, |end| end + 1)..];
            confine::folder(template).join(format!("{}{ENDING}", name.replace('/', "_")))
        }
    }
}

/// Tells whether `path` has an ending of ledgers.
pub(crate) fn is_reserved(path: &str) -> bool {
    [ENDING, ".tidegate.new", ".tidegate.lock"].iter().any(|ending| path.ends_with(ending))
}

/// Lock of a ledger that is in use.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is being started has a copy of it for a moment.
        if let Err(error) = self.0.unlock() {
            tracing::warn!("a ledger cannot be unlocked: {error}");
        }
    }
}

/// Locks the ledger at `path` until the result is dropped.
///
/// # Errors
/// Misconfigured if another process has it: the engine tries again until that one ends.
pub(crate) fn lock(path: &Path) -> Result<Lock, Error> {
    let path = with_ending(path, ".lock");
    let name = path.display();
    let problem = |error| failed(format!("{name} cannot be opened for writing"), &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(problem)?;
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(problem)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::misconfigured(format!(
            "{name} is locked: another process writes these files; this one waits until it ends"
        ))),
        Err(TryLockError::Error(error)) => Err(failed(format!("{name} cannot be locked"), &error)),
    }
}

/// Restores the files to the state of the ledger. Returns the epoch of this claim, and that state.
pub(crate) fn recover(path: &Path, claim: &Claim, options: &SinkOptions) -> Result<(u64, State), Error> {
    let name = path.display();
    let loaded = match Ledger::load(path) {
        Ok(loaded) => loaded,
        Err(reason) if claim.reset => {
            tracing::warn!("{name} {reason}; starting over as asked");
            None
        }
        Err(reason) => {
            return Err(Error::fatal(format!(
                "{name} {reason}, so it is unknown which events were delivered; restore it from a backup, or start the \
                 pipeline over"
            )));
        }
    };
    let Some((owner, mut state)) = loaded else { return Ok((1, enter_literal(State::default(), options)?)) };
    if !claim.reset {
        check_owner(path, &owner, claim)?;
    }
    let mut files = std::mem::take(&mut state.files);
    for (path, mark) in &mut files {
        match restore_file(path, mark, options) {
            Ok(Some(restored)) => drop(state.files.insert(path.clone(), restored)),
            Ok(None) => {}
            Err(error) if claim.reset => tracing::warn!("{error}; starting over as asked"),
            Err(error) => return Err(error),
        }
    }
    if claim.reset {
        state = State::default();
    }
    Ok((owner.epoch + 1, enter_literal(state, options)?))
}

/// Returns the error for a file that the ledger names and that does not exist.
pub(crate) fn missing(path: &str) -> Error {
    Error::fatal(format!(
        "{path} is gone, though events were delivered to it; move it back, or start the pipeline over"
    ))
}

fn check_owner(path: &Path, owner: &Owner, claim: &Claim) -> Result<(), Error> {
    if (&*owner.pipeline, &*owner.sink) == (&*claim.pipeline, &*claim.sink) {
        return Ok(());
    }
    Err(Error::fatal(format!(
        "{} belongs to the sink `{}` of the pipeline `{}`; give this sink another path, or start its pipeline over",
        path.display(),
        owner.sink,
        owner.pipeline
    )))
}

fn restore_file(path: &str, mark: &Mark, options: &SinkOptions) -> Result<Option<Mark>, Error> {
    let location = Location::new(&options.path, path);
    let comes_and_goes = location.root().is_some();
    if comes_and_goes && restore::is_another(&location, mark) {
        restore::restore_moved(&location, mark);
        return Ok(None);
    }
    match restore(&location, mark)? {
        Some(restored) => Ok(Some(restored.mark)),
        // Files of a template may be archived.
        None if comes_and_goes => {
            restore::restore_moved(&location, mark);
            Ok(None)
        }
        None => Err(missing(path)),
    }
}

/// Adds a file whose path does not use the event, because it is known before the first one.
fn enter_literal(mut state: State, options: &SinkOptions) -> Result<State, Error> {
    let Some(path) = options.path.as_literal() else { return Ok(state) };
    if !state.files.contains_key(path) {
        let location = Location::new(&options.path, path);
        let begun = restore::begin(&location, options).map_err(Refused::into_error)?;
        state.files.insert(path.to_owned(), begun.mark);
    }
    Ok(state)
}

/// Removes the ledger of an earlier effectively-once run, for a sink that appends without one. The next claim would cut off
/// the new events.
pub(crate) fn remove_ledger(template: &Template) -> Result<(), Error> {
    let path = ledger_path(template);
    if !path.exists() {
        return Ok(());
    }
    let _lock = lock(&path)?;
    tracing::warn!("{} is removed: events are now delivered at least once", path.display());
    std::fs::remove_file(&path)
        .and_then(|()| super::rotate::sync_folder(&path))
        .map_err(|error| failed(format!("{} cannot be removed", path.display()), &error))
}
