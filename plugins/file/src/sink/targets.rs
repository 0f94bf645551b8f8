//! Open files of one sink, and the distribution of events to them.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_sdk::{Batch, Delivery, Error};

use super::location::Location;
use super::options::{Mode, SinkOptions};
use super::ownership;
use super::route::{self, Refused};
use super::target::{Target, Unfinished};

/// Open files of one sink.
pub(crate) struct Targets {
    options: Arc<SinkOptions>,
    open: HashMap<String, Open>,
    /// Number of writes so far, to find the least recently used file.
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

    /// Checks a file whose path does not use the event before the first event.
    pub(crate) fn probe_literal(&mut self) -> Result<(), Error> {
        let options = Arc::clone(&self.options);
        let Some(path) = options.path.as_literal() else { return Ok(()) };
        Target::probe(&Location::new(&options.path, path), &options).map_err(Refused::into_error)
    }

    /// Removes the ledger of an earlier effectively-once run.
    pub(crate) fn remove_ledger(&mut self) -> Result<(), Error> {
        ownership::remove_ledger(&self.options.path)
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
            // The reason is that of this file only.
            let copy = || Error::new(error.class(), error.message());
            failed.extend(events[done..].iter().map(|event| (*event, copy())));
        }
        failed.sort_by_key(|(event, _)| *event);
        for (event, error) in failed {
            delivery.failed(event, error);
        }
        delivery
    }

    /// Returns the open file at `path`.
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

    /// Closes the least recently used file if the limit is reached. Each file is durable up to its last write. A file whose
    /// last write failed must still be cut, so it is closed last.
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
