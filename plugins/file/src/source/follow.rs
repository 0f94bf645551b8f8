//! Files that are followed as they grow, rotate and appear.

mod discovery;
mod followed;
mod inbox;
mod siblings;
mod watch;

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_sdk::{Batch, Error, Position, SourceBatch};

use super::feed::{Feed, Next, Steps, drive};
use super::format::FileFormat;
use super::listing::Listing;
use super::names::{path_of, shown};
use super::options::{SourceOptions, StartAt};
use super::position::{FileId, FilePosition};
use super::stream::{Start, Stream};
use followed::Followed;
use inbox::{Arrival, Found, Inbox, Look};
use siblings::Moved;

/// How long a file that was moved away is still watched if no new file takes its place.
const MOVED_AWAY: Duration = Duration::from_secs(600);

/// Follows the files until the pipeline drains or the source is gone. One task looks for files, whatever reading does.
pub(crate) async fn follow(options: Arc<SourceOptions>, listing: Listing, feed: Feed) {
    let inbox = Arc::new(Inbox::default());
    let looking = discovery::discover(listing, *options.poll_interval, Arc::clone(&inbox), feed.cx().clone());
    let looking = async {
        looking.await;
        std::future::pending::<()>().await;
    };
    let steps = Follow {
        options,
        inbox: Arc::clone(&inbox),
        files: Vec::new(),
        turn: 0,
        waiting: VecDeque::new(),
        found: Vec::new(),
        started: false,
        begun: HashSet::new(),
        late: HashSet::new(),
        complained: HashSet::new(),
    };
    tokio::select! {
        () = drive(steps, feed, &inbox.changed) => {}
        () = looking => {}
    }
}

/// All files of one source that are followed.
struct Follow {
    options: Arc<SourceOptions>,
    inbox: Arc<Inbox>,
    files: Vec<Followed>,
    /// The file whose turn it is.
    turn: usize,
    /// Files that were found and are not open yet, in the order in which they are to be read.
    waiting: VecDeque<Arrival>,
    /// What the last look has found.
    found: Vec<Found>,
    /// Whether the files that were there at the start have been found.
    started: bool,
    /// Names under which something was read in this run: what comes next under them goes on behind that.
    begun: HashSet<String>,
    /// Names of files that were there at the start and could not be read then.
    late: HashSet<String>,
    /// Files that could not be read, so that each is reported once.
    complained: HashSet<FileId>,
}

impl Steps for Follow {
    fn step(&mut self, feed: &mut Feed) -> Next {
        let pause = *self.options.poll_interval;
        if let Some(look) = self.inbox.take() {
            self.take_in(look, feed);
            self.let_go(feed);
            self.open_waiting(feed);
        }
        // How many files in a row had nothing new.
        let mut idle = 0;
        while idle < self.files.len() {
            if feed.is_stopping() {
                return Next::End;
            }
            if feed.is_full() {
                return Next::Step;
            }
            self.turn = (self.turn + 1) % self.files.len();
            let some = self.files[self.turn].read(&self.options, feed);
            idle = if some { 0 } else { idle + 1 };
        }
        self.let_go(feed);
        if self.open_waiting(feed) { Next::Step } else { Next::Pause(pause) }
    }
}

impl Follow {
    fn take_in(&mut self, look: Look, feed: &mut Feed) {
        self.waiting.extend(look.arrivals);
        if let Some(problem) = look.problem {
            feed.fail(problem);
            return;
        }
        self.found = look.found;
        if !std::mem::replace(&mut self.started, true) {
            self.find_rotated(feed);
        }
        self.follow_renames(feed);
    }

    /// Files that were rotated while the source was not running, and have not been read to their ends: those come first,
    /// under the names that they had.
    fn find_rotated(&mut self, feed: &mut Feed) {
        let mut left = siblings::SEARCHED;
        for (name, place) in furthest_behind(feed) {
            // The inode of a file that is gone may be that of another one by now.
            let is_other = self.waiting.iter().any(|one| one.id == place.id && !place.is_in(&one.file));
            let here = self.found.iter().find(|file| file.id == place.id && !is_other);
            match here {
                Some(file) if file.name == name => {}
                Some(_) => self.go_on_elsewhere(&name, place, feed),
                None => match siblings::find(&path_of(&name), &place, &mut left) {
                    Some(moved) => self.go_on_beside(&name, &place, moved, feed),
                    None => lost(&name, &place, feed),
                },
            }
        }
    }

    /// A file has another of the names that are followed.
    fn go_on_elsewhere(&mut self, name: &str, place: FilePosition, feed: &mut Feed) {
        let Some(at) = self.waiting.iter().position(|one| one.id == place.id) else { return };
        let Some(arrival) = self.waiting.remove(at) else { return };
        if let Ok(Some(stream)) = Stream::open(&self.options, arrival.file, name, &Start::At(place), feed) {
            self.begun.insert(name.to_owned());
            self.files.push(Followed::new(name.to_owned(), stream).behind());
        }
    }

    /// A file has a name that is not followed, or was copied, maybe compressed.
    fn go_on_beside(&mut self, name: &str, place: &FilePosition, moved: Moved, feed: &mut Feed) {
        let (path, file, start) = match moved {
            Moved::Same(path, file) => (path, file, Start::At(place.clone())),
            Moved::Copy(path, file) => (path, file, Start::Copied(place.clone())),
        };
        let stream = match Stream::open(&self.options, file, name, &start, feed) {
            Ok(Some(stream)) => stream,
            Ok(None) => return lost(name, place, feed),
            Err(error) => return tracing::warn!(file = %name, "{error}"),
        };
        tracing::info!(file = %name, "{name} was rotated to {}; reading that to its end first", shown(&path));
        self.begun.insert(name.to_owned());
        self.inbox.hold(stream.id());
        let gone = Some(Instant::now());
        self.files.push(Followed::new(name.to_owned(), stream).gone(gone));
        // What was rotated after it comes before what is at the path now.
        let at = self.waiting.iter().position(|one| one.name == name).unwrap_or(self.waiting.len());
        for sibling in siblings::begun_after(&path_of(name), place).into_iter().rev() {
            if self.found.iter().any(|one| one.id == sibling.id) {
                continue;
            }
            let Ok(file) = super::listing::open(&sibling.path) else { continue };
            if place.is_copied_to(&file).unwrap_or(false) {
                continue;
            }
            tracing::info!(file = %name, "{name} was rotated to {} since; reading that too", shown(&sibling.path));
            self.inbox.hold(sibling.id);
            let (name, file) = (name.to_owned(), Arc::new(file));
            let arrival = Arrival { name, id: sibling.id, file, seen: Instant::now(), at_start: false };
            self.waiting.insert(at, arrival);
        }
    }

    /// A file that was renamed to another path that is followed too is the same file under its new name.
    fn follow_renames(&mut self, feed: &mut Feed) {
        for file in self.files.iter_mut().filter(|file| !file.is_behind) {
            let here = |one: &&Found| one.id == file.stream.id();
            let same_path = self.found.iter().filter(here).any(|one| one.name == file.name);
            let other = self.found.iter().find(here).filter(|_| !same_path);
            file.gone =
                if same_path || other.is_some() { None } else { file.gone.or_else(|| Some(Instant::now())) };
            if let Some(other) = other {
                file.name.clone_from(&other.name);
                file.stream.rename(&other.name, self.begun.insert(other.name.clone()));
                let mark = file.stream.mark();
                feed.send(mark);
            }
        }
    }

    /// Lets go of files that no path leads to, once they have been read and will not be written any more.
    fn let_go(&mut self, feed: &mut Feed) {
        let pause = *self.options.poll_interval;
        let mut index = 0;
        while let Some(file) = self.files.get_mut(index) {
            index += 1;
            let Some(gone) = file.gone else { continue };
            let (id, name) = (file.stream.id(), &file.name);
            let next = self.waiting.iter().find(|one| one.name == *name);
            let replaced = next.is_some()
                || self.found.iter().any(|one| one.name == *name && one.id != id && one.length > 0);
            let deleted = file.stream.file().metadata().is_ok_and(|known| known.nlink() == 0);
            let over = replaced || deleted || gone.elapsed() >= MOVED_AWAY;
            // One more read some time after the rename: the writer may have gone on just before it was told.
            let late = gone.elapsed() >= pause || next.is_some_and(|next| next.seen.elapsed() >= pause);
            if !over || !late || file.read(&self.options, feed) {
                continue;
            }
            index -= 1;
            let mut file = self.files.remove(index);
            self.inbox.release(id);
            if let Some(last) = file.stream.finish() {
                feed.send(last);
            }
        }
    }

    /// Opens what waits, each file when those that had its name before it are read. True if one was opened.
    fn open_waiting(&mut self, feed: &mut Feed) -> bool {
        let mut some = false;
        let mut taken: HashSet<String> = self.files.iter().map(|file| file.name.clone()).collect();
        for arrival in std::mem::take(&mut self.waiting) {
            let young = arrival.seen.elapsed() < *self.options.poll_interval * 2;
            // The first few bytes of an archive could be those of text.
            let undecided = young && FileFormat::may_change(&arrival.file).unwrap_or(false);
            if taken.insert(arrival.name.clone()) && !undecided {
                some |= self.open(arrival, feed);
            } else {
                self.waiting.push_back(arrival);
            }
        }
        some
    }

    fn open(&mut self, arrival: Arrival, feed: &mut Feed) -> bool {
        let Arrival { name, id, file, at_start, .. } = arrival;
        let at_start = at_start || self.late.contains(&name);
        let opened = self
            .start(&name, id, at_start, feed)
            .and_then(|start| Ok((Stream::open(&self.options, file, &name, &start, feed)?, start)));
        match opened {
            Ok((Some(mut stream), start)) => {
                self.complained.remove(&id);
                self.late.remove(&name);
                self.begun.insert(name.clone());
                if matches!(start, Start::End) {
                    feed.send(stream.mark());
                }
                let gone = !self.found.iter().any(|one| one.id == id);
                let gone = gone.then(Instant::now);
                self.files.push(Followed::new(name, stream).gone(gone));
                return true;
            }
            Ok((None, _)) => {}
            Err(error) if error.class() == tidegate_sdk::Class::Fatal => drop(feed.fail(error)),
            Err(error) => {
                if self.complained.insert(id) {
                    tracing::warn!(file = %name, "{error}; trying again at each look");
                }
                if at_start {
                    self.late.insert(name);
                }
            }
        }
        self.inbox.release(id);
        false
    }

    fn start(&self, name: &str, id: FileId, at_start: bool, feed: &Feed) -> Result<Start, Error> {
        let own = feed.cx().resume(name).map(Position::read::<FilePosition>).transpose()?;
        Ok(match own {
            Some(_) if self.begun.contains(name) => Start::Beginning,
            Some(own) if at_start && own.id == id => Start::At(own),
            Some(_) => Start::Replaced,
            None if at_start && self.options.start_at == StartAt::End => Start::End,
            None => Start::Beginning,
        })
    }
}

/// What was stored of each file. Of one that was renamed while it was read, the name that is furthest behind.
fn furthest_behind(feed: &Feed) -> Vec<(String, FilePosition)> {
    let mut places: HashMap<FileId, (String, FilePosition)> = HashMap::new();
    for (name, position) in feed.cx().resume_all() {
        let Ok(place) = position.read::<FilePosition>() else { continue };
        if place.gone {
            continue;
        }
        let known = places.entry(place.id).or_insert_with(|| (name.clone(), place.clone()));
        if place.offset < known.1.offset {
            *known = (name.clone(), place);
        }
    }
    let mut places: Vec<(String, FilePosition)> = places.into_values().collect();
    places.sort_by(|one, other| one.0.cmp(&other.0));
    places
}

/// A file is gone, and nobody knows whether it had been read to its end.
fn lost(name: &str, place: &FilePosition, feed: &mut Feed) {
    if place.closed && place.torn_at.is_none() {
        return;
    }
    tracing::warn!(
        file = %name,
        "{name} is not the file that was read before, up to byte {}: that one is neither beside it nor below its folder. \
         What it holds beyond that byte is not delivered, and no delivery is promised for it; bring it back to its folder \
         and start again to have it read",
        place.offset
    );
    let mut mark = Batch::builder();
    mark.set_partition(name.into());
    mark.set_position(Position::new(&FilePosition { gone: true, ..place.clone() }));
    feed.send(SourceBatch::from(mark.finish()));
}
