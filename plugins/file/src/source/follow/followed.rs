//! State of one followed file.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::source::feed::Feed;
use crate::source::options::SourceOptions;
use crate::source::position::Checksum;
use crate::source::stream::{Problem, Start, Stream};

/// Coarsest resolution of the time of a change in file systems (FAT: two seconds), with a margin.
const TICK: Duration = Duration::from_secs(3);
/// Time for which an archive may end within a member before that is reported.
const TORN: Duration = Duration::from_secs(10);

pub(super) struct Followed {
    /// Path at which it was found last.
    pub(super) name: String,
    pub(super) stream: Stream,
    /// Time of the last change, if it is old enough to distinguish a later one.
    seen: Option<SystemTime>,
    /// Time since which no path leads to it.
    pub(super) gone: Option<Instant>,
    /// Tells whether the rest from an earlier run is not read yet. It is read under the name that the file had then.
    pub(super) has_rest: bool,
    /// Time since which an archive has not grown.
    quiet: Option<Instant>,
    complained: bool,
}

/// Change of a file since it was last read.
enum Since {
    Nothing,
    Appended,
    Rewritten,
}

impl Followed {
    pub(super) fn new(name: String, stream: Stream) -> Self {
        Self { name, stream, seen: None, gone: None, has_rest: false, quiet: None, complained: false }
    }

    /// Marks a file whose rest from an earlier run is read first, under the name that it had then.
    pub(super) fn with_rest(self) -> Self {
        Self { has_rest: true, ..self }
    }

    /// Sets the time since which no path leads to it.
    pub(super) fn gone(self, gone: Option<Instant>) -> Self {
        Self { gone, ..self }
    }

    /// Reads a piece of the new bytes. False if there is none.
    pub(super) fn read(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        let news = self.read_piece(options, feed);
        self.has_rest &= news;
        news
    }

    fn read_piece(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        if self.cut(feed) {
            return true;
        }
        if self.stream.is_closed() {
            return false;
        }
        match self.look() {
            Ok(Since::Nothing) => return false,
            Ok(Since::Rewritten) => return self.begin_again(options, feed),
            Ok(Since::Appended) | Err(_) => {}
        }
        match self.stream.fill() {
            Ok(0) => self.reached_end(options, feed),
            Ok(_) => {
                self.quiet = None;
                self.cut(feed);
                true
            }
            Err(Problem::Corrupt(reason)) => {
                let last = self.stream.end_early(&reason);
                feed.send(last);
                true
            }
            Err(Problem::Failed(error)) => {
                feed.fail(error);
                false
            }
        }
    }

    /// Sends the events that were read. True if the channel had no room for all of them.
    fn cut(&mut self, feed: &mut Feed) -> bool {
        while let Some(batch) = self.stream.cut() {
            feed.send(batch);
            if feed.is_full() {
                return true;
            }
        }
        false
    }

    /// Tells whether there is more to read, and whether the bytes that were read are still there.
    fn look(&mut self) -> io::Result<Since> {
        let known = self.stream.file().metadata()?;
        let position = self.stream.read_so_far();
        if known.len() < position {
            return Ok(Since::Rewritten);
        }
        if self.stream.is_compressed() {
            return Ok(Since::Appended);
        }
        let at_end = known.len() == position;
        let changed = known.modified()?;
        // Shortly after a change the next one may have the same time.
        let is_old = changed.elapsed().is_ok_and(|age| age > TICK);
        if at_end && is_old && self.seen == Some(changed) {
            return Ok(Since::Nothing);
        }
        if Checksum::before(self.stream.file(), position)? != self.stream.recent() {
            return Ok(Since::Rewritten);
        }
        self.seen = is_old.then_some(changed);
        Ok(if at_end { Since::Nothing } else { Since::Appended })
    }

    /// Handles the end of the file. An archive may be incomplete, or get another member later.
    fn reached_end(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        let quiet = self.quiet.get_or_insert_with(Instant::now).elapsed();
        if self.stream.is_torn() {
            if quiet >= TORN && !std::mem::replace(&mut self.complained, true) {
                let name = &self.name;
                tracing::warn!(file = %name, "{name} ends within a member of the archive; the source waits for the rest");
            }
            return false;
        }
        if !self.stream.is_compressed() || quiet < *options.poll_interval {
            return false;
        }
        let last = self.stream.finish_member();
        let some = last.is_some();
        last.into_iter().for_each(|batch| feed.send(batch));
        some
    }

    /// Starts from the beginning, after the file was truncated (by `copytruncate`) or overwritten.
    fn begin_again(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        if let Some(last) = self.stream.finish() {
            feed.send(last);
        }
        let name = &self.name;
        tracing::info!(file = %name, "{name} was truncated or overwritten; it is read from its start");
        let file = Arc::clone(self.stream.file());
        match Stream::open(options, file, name, &Start::Replaced, feed) {
            Ok(Some(stream)) => {
                self.stream = stream;
                self.seen = None;
                self.quiet = None;
                true
            }
            Ok(None) => false,
            Err(error) => {
                feed.fail(error);
                false
            }
        }
    }
}
