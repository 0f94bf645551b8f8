//! Files that are followed as they grow, rotate and appear.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tidegate_sdk::{Error, Position, SourceBatch};

use super::feed::Feed;
use super::listing::Listing;
use super::options::{SourceOptions, StartAt};
use super::place::{Checksum, FileId, Place};
use super::stream::{Problem, Start, Stream};

/// How many files are followed at once, at most: each is an open descriptor.
const FILES: usize = 1000;
/// How long a file that was moved away is still watched if no new file takes its place.
const MOVED_AWAY: Duration = Duration::from_secs(600);

/// The coarsest step in which file systems keep the time of a change (FAT: two seconds), with a margin.
const TICK: Duration = Duration::from_secs(3);

/// All files of one source that are followed.
pub(crate) struct Follow {
    options: Arc<SourceOptions>,
    listing: Listing,
    feed: Feed,
    files: Vec<Followed>,
    /// Whether the files that were there at the start have been found.
    started: bool,
    /// Files that could not be opened, so that each is told of once.
    complained: HashSet<String>,
    /// Lengths of archives that may still be written.
    settling: HashMap<FileId, u64>,
    /// Names under which something was read in this run: what comes next under them goes on behind that.
    begun: HashSet<String>,
}

/// One file that is followed.
struct Followed {
    /// The path that it was found at last.
    path: String,
    stream: Stream,
    /// When the file was last changed, once that has been looked at long enough afterwards to tell.
    seen: Option<SystemTime>,
    /// Since when no path leads to it any more.
    gone: Option<Instant>,
}

/// A file that a path leads to.
struct Found {
    path: PathBuf,
    name: String,
    id: FileId,
    length: u64,
}

/// The source is to end: the pipeline drains, or has gone.
struct Stopped;

impl Follow {
    pub(crate) fn new(options: Arc<SourceOptions>, listing: Listing, feed: Feed) -> Self {
        Self {
            options,
            listing,
            feed,
            files: Vec::new(),
            started: false,
            complained: HashSet::new(),
            settling: HashMap::new(),
            begun: HashSet::new(),
        }
    }

    /// Follows until the source is to end.
    pub(crate) fn run(mut self) {
        // Being stopped is how it ends.
        let Err(Stopped) = self.follow();
    }

    fn follow(&mut self) -> Result<std::convert::Infallible, Stopped> {
        let pause = *self.options.poll_interval;
        loop {
            let looked = Instant::now();
            if let Err(error) = self.discover()? {
                self.tell(error)?;
            }
            while self.read_all()? {
                if looked.elapsed() >= pause {
                    break;
                }
            }
            if !self.feed.pause(pause.saturating_sub(looked.elapsed())) {
                return Err(Stopped);
            }
        }
    }

    /// Reads a piece of each file. False if there was nothing new in any.
    fn read_all(&mut self) -> Result<bool, Stopped> {
        let mut some = false;
        for file in &mut self.files {
            if self.feed.is_stopping() {
                return Err(Stopped);
            }
            some |= file.read(&self.options, &self.feed)?;
        }
        Ok(some)
    }

    /// Looks which files there are: follows new ones, and lets go of those that were rotated away and read.
    fn discover(&mut self) -> Result<Result<(), Error>, Stopped> {
        let found = match self.look() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if !self.started {
            self.find_rotated(&found)?;
        }
        self.follow_renames(&found)?;
        self.let_go(&found)?;
        let ids: HashSet<FileId> = self.files.iter().map(|file| file.stream.id()).collect();
        let paths: HashSet<String> = self.files.iter().map(|file| file.path.clone()).collect();
        for file in &found {
            if file.length > 0 && !ids.contains(&file.id) && !paths.contains(&file.name) {
                self.open(file)?;
            }
        }
        self.complained.retain(|name| found.iter().any(|file| file.name == *name));
        self.settling.retain(|id, _| found.iter().any(|file| file.id == *id));
        self.started = true;
        Ok(Ok(()))
    }

    fn look(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for path in self.listing.files()? {
            // A path that is gone by now was rotated away; the next look finds what took its place.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_file() {
                let name = path.to_string_lossy().into_owned();
                found.push(Found { name, id: FileId::of(&metadata), length: metadata.len(), path });
            }
        }
        match found.len() <= FILES {
            true => Ok(found),
            false => Err(Error::misconfigured(format!(
                "{} files match, and at most {FILES} can be followed at once; narrow the path",
                found.len()
            ))),
        }
    }

    /// Files that were rotated while the source was not running, and have not been read to their ends: their
    /// new names are not matched, but they lie beside where they were.
    fn find_rotated(&mut self, found: &[Found]) -> Result<(), Stopped> {
        for (name, position) in self.feed.cx().resume_all().clone() {
            let Ok(place) = position.read::<Place>() else { continue };
            let elsewhere = found.iter().find(|file| file.id == place.id);
            let path = match elsewhere {
                Some(file) if file.name == name => continue,
                Some(file) => Some(file.path.clone()),
                None => beside(Path::new(&name), place.id),
            };
            let Some(path) = path.filter(|path| place.is_in(path)) else { continue };
            let start = Start::At(place);
            if let Ok(Some(stream)) = Stream::open(&self.options, &path, &name, &start, &self.feed) {
                tracing::info!(file = %name, "{name} was rotated to {}; reading that to its end first", path.display());
                self.begun.insert(name.clone());
                self.files.push(Followed::new(name, stream));
                while self.read_all()? {}
            }
        }
        Ok(())
    }

    /// A file that was renamed to another path that is followed too is the same file under its new name.
    fn follow_renames(&mut self, found: &[Found]) -> Result<(), Stopped> {
        for file in &mut self.files {
            let here = |one: &&Found| one.id == file.stream.id();
            let same_path = found.iter().filter(here).any(|one| one.name == file.path);
            let other = found.iter().find(here).filter(|_| !same_path);
            file.gone = match (same_path, other) {
                (false, None) => file.gone.or_else(|| Some(Instant::now())),
                _ => None,
            };
            if let Some(other) = other {
                file.path.clone_from(&other.name);
                file.stream.rename(&other.name, self.begun.insert(other.name.clone()));
                send(&self.feed, file.stream.mark())?;
            }
        }
        Ok(())
    }

    /// Lets go of files that no path leads to, once they have been read and will not be written any more.
    fn let_go(&mut self, found: &[Found]) -> Result<(), Stopped> {
        let mut index = 0;
        while let Some(file) = self.files.get_mut(index) {
            let Some(gone) = file.gone else {
                index += 1;
                continue;
            };
            // One more read between two looks: the writer may have gone on just before it was told.
            let replaced = found.iter().any(|one| one.name == file.path && one.length > 0);
            let deleted = file.stream.file().metadata().is_ok_and(|known| known.nlink() == 0);
            let over = replaced || deleted || gone.elapsed() >= MOVED_AWAY;
            if !over
                || gone.elapsed() < *self.options.poll_interval
                || file.read(&self.options, &self.feed)?
            {
                index += 1;
                continue;
            }
            let mut file = self.files.remove(index);
            if let Some(last) = file.stream.finish() {
                send(&self.feed, last)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, found: &Found) -> Result<(), Stopped> {
        let start = match self.start(found) {
            Ok(start) => start,
            Err(error) => return self.tell(error),
        };
        let name = &found.name;
        match Stream::open(&self.options, &found.path, name, &start, &self.feed) {
            Ok(Some(stream)) if stream.is_packed() && !self.has_settled(found) => {}
            Ok(Some(mut stream)) => {
                self.complained.remove(name);
                self.begun.insert(name.clone());
                if matches!(start, Start::End) {
                    send(&self.feed, stream.mark())?;
                }
                self.files.push(Followed::new(name.clone(), stream));
            }
            Ok(None) => {}
            Err(error) => {
                if self.complained.insert(name.clone()) {
                    tracing::warn!(file = %name, "{error}; trying again at each look");
                }
            }
        }
        Ok(())
    }

    /// Whether an archive has stayed as it was since the last look, so that it is not read half written.
    fn has_settled(&mut self, found: &Found) -> bool {
        self.settling.insert(found.id, found.length) == Some(found.length)
    }

    fn start(&self, found: &Found) -> Result<Start, Error> {
        let stored = self.feed.cx().resume_all();
        let own = stored.get(&found.name).map(Position::read::<Place>).transpose()?;
        // Of a file that could not be opened at the start, what was stored holds until it can.
        let at_start =
            !self.started || self.settling.contains_key(&found.id) || self.complained.contains(&found.name);
        Ok(match own {
            Some(_) if self.begun.contains(&found.name) => Start::Beginning,
            Some(own) if at_start && own.id == found.id => Start::At(own),
            Some(own) => {
                let (name, offset) = (&found.name, own.offset);
                tracing::warn!(
                    file = %name,
                    "{name} is not the file that was read before: that one was moved away or deleted, and what it \
                     holds beyond byte {offset} was not read"
                );
                Start::Replaced
            }
            None if at_start && self.options.start_at == StartAt::End => Start::End,
            None => Start::Beginning,
        })
    }

    fn tell(&self, error: Error) -> Result<(), Stopped> {
        if self.feed.fail(error) { Ok(()) } else { Err(Stopped) }
    }
}

impl Followed {
    fn new(path: String, stream: Stream) -> Self {
        Self { path, stream, seen: None, gone: None }
    }

    /// Reads what is new. False if nothing is.
    fn read(&mut self, options: &SourceOptions, feed: &Feed) -> Result<bool, Stopped> {
        if self.stream.is_closed() {
            return Ok(false);
        }
        match self.look() {
            Ok(Since::Nothing) => return Ok(false),
            Ok(Since::Rewritten) => return self.begin_anew(options, feed),
            Ok(Since::Appended) | Err(_) => {}
        }
        match self.stream.fill() {
            Ok(0) if self.stream.is_packed() => self.end_of_archive(feed, None),
            Ok(0) => Ok(false),
            Ok(_) => {
                while let Some(batch) = self.stream.cut() {
                    send(feed, batch)?;
                }
                Ok(true)
            }
            Err(Problem::Corrupt(reason)) => self.end_of_archive(feed, Some(&reason)),
            Err(Problem::Failed(error)) => match feed.fail(error) {
                true => Ok(false),
                false => Err(Stopped),
            },
        }
    }

    /// Whether there is more to read, and whether what was read is still there.
    fn look(&mut self) -> io::Result<Since> {
        if self.stream.is_packed() {
            return Ok(Since::Appended);
        }
        let known = self.stream.file().metadata()?;
        let position = self.stream.read_so_far();
        if known.len() < position {
            return Ok(Since::Rewritten);
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

    /// An archive is read once; it does not grow.
    fn end_of_archive(&mut self, feed: &Feed, problem: Option<&str>) -> Result<bool, Stopped> {
        while let Some(batch) = self.stream.cut() {
            send(feed, batch)?;
        }
        let last = match problem {
            Some(reason) => Some(self.stream.end_early(reason)),
            None => self.stream.finish(),
        };
        self.stream.close();
        last.map_or(Ok(()), |batch| send(feed, batch))?;
        Ok(true)
    }

    /// The file was truncated (by "copytruncate") or written anew: what is there now is new.
    fn begin_anew(&mut self, options: &SourceOptions, feed: &Feed) -> Result<bool, Stopped> {
        if let Some(last) = self.stream.finish() {
            send(feed, last)?;
        }
        tracing::info!(file = %self.path, "{} was truncated or written anew; reading it from its start", self.path);
        let opened = Stream::open(options, Path::new(&self.path), &self.path, &Start::Replaced, feed);
        // If the path leads elsewhere by now, the next look finds that.
        if let Ok(Some(stream)) = opened
            && stream.id() == self.stream.id()
        {
            self.stream = stream;
            self.seen = None;
            return Ok(true);
        }
        Ok(false)
    }
}

/// What happened to a file since it was last read.
enum Since {
    Nothing,
    Appended,
    Rewritten,
}

/// The file with this identity in the folder of `path`.
fn beside(path: &Path, id: FileId) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let same = |metadata: Metadata| metadata.is_file() && FileId::of(&metadata) == id;
    entries.into_iter().find(|entry| entry.metadata().is_ok_and(same)).map(|entry| entry.path())
}

fn send(feed: &Feed, batch: SourceBatch) -> Result<(), Stopped> {
    if feed.send(batch) { Ok(()) } else { Err(Stopped) }
}
