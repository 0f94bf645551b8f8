//! The source `file`.

mod blocks;
mod feed;
mod follow;
mod framing;
mod listing;
mod once;
mod options;
mod packing;
mod place;
pub(crate) mod records;
mod stream;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

pub use options::{CsvOptions, Decode, Header, Paths, SourceOptions, StartAt};
use tidegate_sdk::{ConfigError, Cx, Error, Exclusive, Replay, Resource, Source, SourceBatch};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use feed::Feed;
use listing::Listing;

/// How many batches may wait for the pipeline while the next one is being read.
const AHEAD: usize = 2;

/// The source: a thread reads, [`Source::next`] hands on what it has read.
pub(crate) struct FileSource {
    options: Arc<SourceOptions>,
    listing: Listing,
    reading: Option<Reading>,
}

struct Reading {
    batches: Receiver<Result<SourceBatch, Error>>,
    thread: JoinHandle<()>,
    /// Dropping it ends a pause of the thread.
    running: Option<SyncSender<()>>,
}

impl FileSource {
    pub(crate) fn new(options: SourceOptions) -> Result<Self, ConfigError> {
        options.check()?;
        let listing = Listing::new(options.path.texts())?;
        Ok(Self { options: Arc::new(options), listing, reading: None })
    }
}

impl Source for FileSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if self.reading.is_some() {
            return Ok(());
        }
        let (options, listing) = (Arc::clone(&self.options), self.listing.clone());
        let (sender, batches) = channel(AHEAD);
        let (running, alive) = sync_channel(0);
        let feed = Feed::new(cx.clone(), sender, alive);
        let thread = if options.follow {
            cx.spawn_blocking(move || follow::Follow::new(options, listing, feed).run())
        } else {
            let files = cx
                .spawn_blocking(move || listing.files_that_exist())
                .await
                .map_err(|_| Error::fatal("the thread that lists the files failed"))??;
            cx.spawn_blocking(move || once::read(&options, &files, &feed))
        };
        self.reading = Some(Reading { batches, thread, running: Some(running) });
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let next = tokio::select! {
            next = reading.batches.recv() => next,
            () = cx.stopping(), if reading.running.is_some() => {
                reading.running = None;
                reading.batches.recv().await
            }
        };
        if let Some(next) = next {
            return next.map(Some);
        }
        let ended = match self.reading.take() {
            Some(reading) => reading.thread.await,
            None => Ok(()),
        };
        ended.map(|()| None).map_err(|_| Error::fatal("the thread that reads the files failed"))
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }

    /// Files can be read by many. A path that stands for standard input claims it.
    fn exclusive(&self) -> Vec<Exclusive> {
        let paths = self.options.path.texts().iter().map(Resource::file);
        let streams = paths.filter(|one| !matches!(one, Resource::File(_)));
        streams.map(|stream| Exclusive::new("/path", stream)).collect()
    }
}
