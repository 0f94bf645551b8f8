//! Files that are read once.

use std::path::Path;
use std::sync::Arc;

use tidegate_sdk::Error;

use super::feed::{Feed, Next, Steps};
use super::listing::{self, Seen};
use super::names::shown;
use super::options::SourceOptions;
use super::position::FilePosition;
use super::stream::{Problem, Start, Stream};
use crate::failure::failed;

/// Reader of files, one after the other, each from its stored position.
pub(crate) struct Once {
    options: Arc<SourceOptions>,
    files: Vec<Seen>,
    /// Index of the current file.
    at: usize,
    stream: Option<Stream>,
    /// Bytes of the files before it.
    done: u64,
    /// Bytes of all files.
    total: u64,
}

impl Once {
    pub(crate) fn new(options: Arc<SourceOptions>, files: Vec<Seen>) -> Self {
        let total = files.iter().map(|file| file.known.len()).sum();
        Self { options, files, at: 0, stream: None, done: 0, total }
    }

    /// Opens the current file, unless it is open. False if that must be tried again.
    fn open(&mut self, feed: &mut Feed) -> bool {
        if self.stream.is_some() {
            return true;
        }
        match open(&self.options, &self.files[self.at].path, feed) {
            Ok(stream) => self.stream = stream,
            Err(error) => drop(feed.fail(error)),
        }
        self.stream.is_some()
    }

    /// Moves on to the next file.
    fn next_file(&mut self, feed: &Feed) {
        self.stream = None;
        self.done += self.files[self.at].known.len();
        self.at += 1;
        feed.cx().progress().set(self.done, self.total);
    }
}

impl Steps for Once {
    fn step(&mut self, feed: &mut Feed) -> Next {
        while self.at < self.files.len() {
            if feed.is_stopping() {
                return Next::End;
            }
            if feed.is_full() || !self.open(feed) {
                return Next::Step;
            }
            let Some(stream) = &mut self.stream else { return Next::Step };
            if let Some(batch) = stream.cut() {
                feed.send(batch);
                continue;
            }
            let last = match stream.fill() {
                Ok(0) => stream.finish(),
                Ok(_) => {
                    feed.cx().progress().set(self.done + stream.read_so_far(), self.total);
                    continue;
                }
                Err(Problem::Corrupt(reason)) => Some(stream.end_early(&reason)),
                Err(Problem::Failed(error)) => {
                    feed.fail(error);
                    return Next::Step;
                }
            };
            if let Some(batch) = last {
                feed.send(batch);
            }
            self.next_file(feed);
        }
        Next::End
    }
}

fn open(options: &SourceOptions, path: &Path, feed: &Feed) -> Result<Option<Stream>, Error> {
    let name = shown(path);
    let start = match feed.cx().resume(&name) {
        Some(position) => Start::At(position.read::<FilePosition>()?),
        None => Start::Beginning,
    };
    match listing::open(path) {
        Ok(file) => Stream::open(options, Arc::new(file), &name, &start, feed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::fatal(format!("{name} is gone; it was there when the source started")))
        }
        Err(error) => Err(failed(format!("{name} cannot be opened"), &error)),
    }
}
