//! One file that is followed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::source::feed::Feed;
use crate::source::options::SourceOptions;
use crate::source::position::Checksum;
use crate::source::stream::{Problem, Start, Stream};

/// The coarsest step in which file systems keep the time of a change (FAT: two seconds), with a margin.
const TICK: Duration = Duration::from_secs(3);
/// How long an archive may end within a member until that is reported.
const TORN: Duration = Duration::from_secs(10);

pub(super) struct Followed {
    /// The path that it was found at last.
    pub(super) name: String,
    pub(super) stream: Stream,
    /// When the file was last changed, once that has been looked at long enough afterwards to tell.
    seen: Option<SystemTime>,
    /// Since when no path leads to it any more.
    pub(super) gone: Option<Instant>,
    /// Whether what an earlier run has left of it is still to be read, under the name that it had then.
    pub(super) is_behind: bool,
    /// Since when an archive has not grown.
    quiet: Option<Instant>,
    complained: bool,
}

/// What happened to a file since it was last read.
enum Since {
    Nothing,
    Appended,
    Rewritten,
}

impl Followed {
    pub(super) fn new(name: String, stream: Stream) -> Self {
        Self { name, stream, seen: None, gone: None, is_behind: false, quiet: None, complained: false }
    }

    /// What an earlier run has left of it is read first, under the name that it had then.
    pub(super) fn behind(self) -> Self {
        Self { is_behind: true, ..self }
    }

    /// Since then no path leads to it.
    pub(super) fn gone(self, gone: Option<Instant>) -> Self {
        Self { gone, ..self }
    }

    /// Reads a piece of what is new. False if nothing is.
    pub(super) fn read(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        let news = self.read_piece(options, feed);
        self.is_behind &= news;
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

    /// Sends what was read. True if not all of it found room.
    fn cut(&mut self, feed: &mut Feed) -> bool {
        while let Some(batch) = self.stream.cut() {
            feed.send(batch);
            if feed.is_full() {
                return true;
            }
        }
        false
    }

    /// Whether there is more to read, and whether what was read is still there.
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
        // Shortly after a change the time of the next one may be the same, so it does not tell yet.
        let told_by_time = changed.elapsed().is_ok_and(|age| age > TICK);
        if at_end && told_by_time && self.seen == Some(changed) {
            return Ok(Since::Nothing);
        }
        if Checksum::before(self.stream.file(), position)? != self.stream.recent() {
            return Ok(Since::Rewritten);
        }
        self.seen = told_by_time.then_some(changed);
        Ok(if at_end { Since::Nothing } else { Since::Appended })
    }

    /// An archive has been read as far as it goes. It may be still on its way, or get another member later.
    fn reached_end(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        let quiet = self.quiet.get_or_insert_with(Instant::now).elapsed();
        if self.stream.is_torn() {
            if quiet >= TORN && !std::mem::replace(&mut self.complained, true) {
                let name = &self.name;
                tracing::warn!(file = %name, "{name} ends within a member of the archive; waiting for the rest");
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

    /// The file was truncated (by "copytruncate") or written over: what is there now is new.
    fn begin_again(&mut self, options: &SourceOptions, feed: &mut Feed) -> bool {
        if let Some(last) = self.stream.finish() {
            feed.send(last);
        }
        let name = &self.name;
        tracing::info!(file = %name, "{name} was truncated or written over; reading it from its start");
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
