//! The files of one sink: which events go where, and which files are open.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_sdk::{Batch, Delivery, Error};

use super::location::Location;
use super::options::{Mode, SinkOptions};
use super::ownership;
use super::route::{self, Refused};
use super::target::{Target, Unfinished};

/// The open files, and what they are opened with.
pub(crate) struct Targets {
    options: Arc<SinkOptions>,
    open: HashMap<String, Open>,
    /// Counts writes, to tell which file was not used for the longest time.
    clock: u64,
}

struct Open {
    target: Target,
    used: u64,
}

impl Targets {
    pub(crate) fn new(options: Arc<SinkOptions>) -> Self {
        Self { options, open: HashMap::new(), clock: 0 }
    }

    /// Tells at the start what is wrong with a file whose path does not use the event.
    pub(crate) fn probe_literal(&mut self) -> Result<(), Error> {
        let options = Arc::clone(&self.options);
        let Some(path) = options.path.as_literal() else { return Ok(()) };
        Target::probe(&Location::new(&options.path, path), &options).map_err(Refused::into_error)
    }

    /// Puts a ledger out of the way that is left from when events were delivered effectively once.
    pub(crate) fn disown(&mut self) -> Result<(), Error> {
        ownership::disown(&self.options.path)
    }

    /// Appends the events; with [`Mode::Truncate`] the file is emptied first.
    pub(crate) fn write(&mut self, batch: &Batch, mode: Mode) -> Delivery {
        let mut delivery = Delivery::complete();
        let mut failed: Vec<(usize, Error)> = Vec::new();
        for (path, events) in route::assign(&self.options.path, batch, &mut delivery) {
            let options = Arc::clone(&self.options);
            let (done, why) = match self.target(&path) {
                Ok(target) => match append(target, batch, &events, &options, mode) {
                    Ok(()) => continue,
                    Err(unfinished) => (unfinished.done, unfinished.why),
                },
                Err(why) => (0, why),
            };
            let error = match why {
                Refused::Error(error) => error,
                Refused::Path(reason) => {
                    for event in &events[done..] {
                        delivery.reject(*event, reason.clone());
                    }
                    continue;
                }
            };
            // Each file fails for a reason of its own.
            let copy = || Error::new(error.class(), error.message());
            failed.extend(events[done..].iter().map(|event| (*event, copy())));
        }
        failed.sort_by_key(|(event, _)| *event);
        for (event, error) in failed {
            delivery.failed(event, error);
        }
        delivery
    }

    /// The file at `path`, open.
    fn target(&mut self, path: &str) -> Result<&mut Target, Refused> {
        self.clock += 1;
        if !self.open.contains_key(path) {
            self.make_room();
            let target = Target::open(Location::new(&self.options.path, path), &self.options)?;
            self.open.insert(path.to_owned(), Open { target, used: 0 });
        }
        let open = self
            .open
            .get_mut(path)
            .ok_or_else(|| Refused::Error(Error::retry(format!("{path} is not open"))))?;
        open.used = self.clock;
        Ok(&mut open.target)
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
        target.empty(options).map_err(|why| Unfinished { done: 0, why })?;
    }
    target.append(batch, events, options)
}
