//! The files of one sink: which events go where, and which files are open.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_sdk::{Batch, Delivery, Error};

use super::confine;
use super::options::{Mode, SinkOptions};
use super::target::{Target, Unfinished};
use crate::failure::{failed, reason};

/// The open files, and what they are opened with.
pub(crate) struct Targets {
    options: Arc<SinkOptions>,
    open: HashMap<PathBuf, Open>,
    /// Counts writes, to tell which file was not used for the longest time.
    clock: u64,
}

struct Open {
    target: Target,
    used: u64,
}

/// Why a file could not be opened.
enum Refused {
    /// The path leads where it must not.
    Path(String),
    Error(Error),
}

impl Targets {
    pub(crate) fn new(options: Arc<SinkOptions>) -> Self {
        Self { options, open: HashMap::new(), clock: 0 }
    }

    /// Opens the file whose path does not use the event, so that what is wrong with it is told at the start.
    pub(crate) fn open_literal(&mut self) -> Result<(), Error> {
        let options = Arc::clone(&self.options);
        let Some(path) = options.path.as_literal() else { return Ok(()) };
        match self.target(path) {
            Ok(_) => Ok(()),
            Err(Refused::Error(error)) => Err(error),
            Err(Refused::Path(reason)) => Err(Error::misconfigured(reason)),
        }
    }

    /// Appends the events; with [`Mode::Truncate`] the file is emptied first.
    pub(crate) fn write(&mut self, batch: &Batch, mode: Mode) -> Delivery {
        let mut delivery = Delivery::complete();
        let mut again: Vec<usize> = Vec::new();
        let mut problem = None;
        for (path, events) in self.assign(batch, &mut delivery) {
            let options = Arc::clone(&self.options);
            let (done, error) = match self.target(&path) {
                Ok(target) => match append(target, batch, &events, &options, mode) {
                    Ok(()) => continue,
                    Err(unfinished) => (unfinished.done, unfinished.error),
                },
                Err(Refused::Error(error)) => (0, error),
                Err(Refused::Path(reason)) => {
                    for event in events {
                        delivery.reject(event, reason.clone());
                    }
                    continue;
                }
            };
            again.extend(&events[done..]);
            problem.get_or_insert(error);
        }
        if let Some(error) = problem {
            again.sort_unstable();
            delivery.again(again, error);
        }
        delivery
    }

    /// Which events go to which file, in order of the first event of each. Events without a good path are
    /// rejected.
    fn assign(&self, batch: &Batch, delivery: &mut Delivery) -> Vec<(String, Vec<usize>)> {
        let template = &self.options.path;
        if let Some(path) = template.as_literal() {
            return vec![(path.to_owned(), (0..batch.len()).collect())];
        }
        let mut files: Vec<(String, Vec<usize>)> = Vec::new();
        let mut indices: HashMap<String, usize> = HashMap::new();
        for (event, payload) in batch.payloads().enumerate() {
            let path = template.render(payload).and_then(|path| {
                confine::check(template, &path)?;
                Ok(path)
            });
            let path = match path {
                Ok(path) => path,
                Err(reason) => {
                    delivery.reject(event, reason);
                    continue;
                }
            };
            match indices.get(&*path) {
                Some(index) => files[*index].1.push(event),
                None => {
                    indices.insert(path.clone().into_owned(), files.len());
                    files.push((path.into_owned(), vec![event]));
                }
            }
        }
        files
    }

    /// The file at `path`, open.
    fn target(&mut self, path: &str) -> Result<&mut Target, Refused> {
        self.clock += 1;
        let path = Path::new(path);
        if !self.open.contains_key(path) {
            self.make_room();
            self.make_folders(path)?;
            let target = Target::open(path, &self.options).map_err(Refused::Error)?;
            self.open.insert(path.to_owned(), Open { target, used: 0 });
        }
        let open = self
            .open
            .get_mut(path)
            .ok_or_else(|| Refused::Error(Error::retry(format!("{} is not open", path.display()))))?;
        open.used = self.clock;
        Ok(&mut open.target)
    }

    fn make_folders(&self, path: &Path) -> Result<(), Refused> {
        let from_data = self.options.path.as_literal().is_none();
        let made = match self.options.path.as_literal() {
            Some(_) => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).map(Ok),
                _ => Ok(Ok(())),
            },
            None => confine::make_folders(confine::folder(&self.options.path), path),
        };
        match made {
            Ok(Ok(())) if from_data && path.is_dir() => {
                Err(Refused::Path(format!("{} is a folder", path.display())))
            }
            Ok(Ok(())) => Ok(()),
            // A file stands where the data asks for a folder.
            Err(error)
                if from_data
                    && matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists) =>
            {
                Err(Refused::Path(format!(
                    "the folder of {} cannot be made: {}",
                    path.display(),
                    reason(&error)
                )))
            }
            Ok(Err(outside)) => Err(Refused::Path(outside)),
            Err(error) => {
                let what = format!("the folder of {} cannot be made", path.display());
                Err(Refused::Error(failed(what, &error)))
            }
        }
    }

    /// Closes the file that was not used for the longest time, if as many are open as may be. Each is durable
    /// up to its last write. One whose last write failed has yet to be cut, so it goes last.
    fn make_room(&mut self) {
        while self.open.len() >= self.options.max_open {
            let oldest = self
                .open
                .iter()
                .min_by_key(|(_, open)| (!open.target.is_sound(), open.used))
                .map(|(path, _)| path.clone());
            match oldest {
                Some(path) => drop(self.open.remove(&path)),
                None => return,
            }
        }
    }
}

fn append(
    target: &mut Target,
    batch: &Batch,
    events: &[usize],
    options: &SinkOptions,
    mode: Mode,
) -> Result<(), Unfinished> {
    if mode == Mode::Truncate {
        target.empty(options).map_err(|error| Unfinished { done: 0, error })?;
    }
    target.append(batch, events, options)
}
