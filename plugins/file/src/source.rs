//! The source `file`.

mod blocks;
mod feed;
mod follow;
mod format;
mod framing;
mod listing;
mod names;
mod once;
mod options;
mod position;
pub(crate) mod records;
mod stream;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use options::{CsvOptions, Decode, Header, Paths, SourceOptions, StartAt};
use tidegate_sdk::{
    ConfigError, ConfigErrors, Cx, Error, Exclusive, Replay, Resource, Source, SourceBatch, async_trait,
};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use feed::{Feed, drive};
use listing::Listing;
use once::Once;

/// Most batches that wait for the pipeline while the next one is read.
const AHEAD: usize = 2;

/// Source that reads in a task. [`Source::next`] returns the batches of the task.
pub(crate) struct FileSource {
    options: Arc<SourceOptions>,
    listing: Listing,
    reading: Option<Reading>,
}

struct Reading {
    batches: Receiver<Result<SourceBatch, Error>>,
    task: JoinHandle<()>,
}

impl FileSource {
    pub(crate) fn new(options: SourceOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(options.check());
        match errors.keep(Listing::new(options.path.texts())) {
            Some(listing) => errors.finish(Self { options: Arc::new(options), listing, reading: None }),
            None => Err(errors.into_error()),
        }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if self.reading.is_some() {
            return Ok(());
        }
        let (options, listing) = (Arc::clone(&self.options), self.listing.clone());
        let (sender, batches) = channel(AHEAD);
        let feed = Feed::new(cx.clone(), sender);
        let task = if options.follow {
            cx.spawn(follow::follow(options, listing, feed))
        } else {
            let listed = cx
                .spawn_blocking(move || listing.files_that_exist())
                .await
                .map_err(|_| Error::fatal("the thread that lists the files failed"))??;
            for (path, error) in &listed.problems {
                listing::warn(path, error);
            }
            let once = Once::new(options, listed.files);
            cx.spawn(async move { drive(once, feed, &Notify::new()).await })
        };
        self.reading = Some(Reading { batches, task });
        Ok(())
    }

    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        if let Some(next) = reading.batches.recv().await {
            return next.map(Some);
        }
        let ended = match self.reading.take() {
            Some(reading) => reading.task.await,
            None => Ok(()),
        };
        ended.map(|()| None).map_err(|_| Error::fatal("the task that reads the files failed"))
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }

    fn covers(&self, partition: &str) -> bool {
        self.options.path.texts().iter().any(|path| {
            // A glob is compared up to its first wildcard.
            let literal = path.split(['*', '?', '[']).next().unwrap_or_default();
            partition == path || (literal.len() < path.len() && partition.starts_with(literal))
        })
    }

    /// Names the files that are read, and claims standard input if a path stands for it.
    fn exclusive(&self) -> Vec<Exclusive> {
        let paths = self.options.path.texts();
        let claim = |(index, path): (usize, &String)| {
            let pointer = if paths.len() > 1 { format!("/path/{index}") } else { "/path".to_owned() };
            match Resource::glob(path) {
                stream @ Resource::Named(_) => Exclusive::new(pointer, stream),
                files => Exclusive::read(pointer, files),
            }
        };
        paths.iter().enumerate().map(claim).collect()
    }
}
