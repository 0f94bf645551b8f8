//! Files that are followed as they grow, rotate and appear.

mod discovery;
mod followed;
mod inbox;
mod missing;
mod siblings;
mod watch;

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_sdk::{Batch, Error, Position, SourceBatch};

use super::feed::{Feed, Next, Steps, drive};
use super::format;
use super::listing::Listing;
use super::names::{path_of, shown};
use super::options::{SourceOptions, StartAt};
use super::position::{FileId, FilePosition};
use super::stream::{Start, Stream};
use followed::Followed;
use inbox::{Arrival, Found, Inbox, Look};
use siblings::Moved;

/// Time for which a file that was moved away is still followed if no new file takes its path.
const MOVED_AWAY: Duration = Duration::from_secs(600);

/// Follows the files until the pipeline drains or the source is gone. Discovery runs beside reading.
pub(crate) async fn follow(options: Arc<SourceOptions>, listing: Listing, feed: Feed) {
    let inbox = Arc::new(Inbox::default());
    let discovery =
        discovery::discover(listing, *options.poll_interval, Arc::clone(&inbox), feed.cx().clone());
    let discovery = async {
        discovery.await;
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
        () = discovery => {}
    }
}

/// Followed files of one source.
struct Follow {
    options: Arc<SourceOptions>,
    inbox: Arc<Inbox>,
    files: Vec<Followed>,
    /// Index of the file that is read next.
    turn: usize,
    /// Files that were found and are not read yet, in the order in which they will be.
    waiting: VecDeque<Arrival>,
    /// Files at the followed paths at the last look.
    found: Vec<Found>,
    /// Tells whether the first look is over.
    started: bool,
    /// Names under which something was read in this run. The next file of such a name is read from its beginning.
    begun: HashSet<String>,
    /// Names of files that existed at the start and could not be read then.
    late: HashSet<String>,
    /// Files that could not be read, so that each is reported once.
    complained: HashSet<FileId>,
}

impl Steps for Follow {
    fn step(&mut self, feed: &mut Feed) -> Next {
        let pause = *self.options.poll_interval;
        if let Some(look) = self.inbox.take() {
            self.take_in(look, feed);
            self.release(feed);
            self.open_waiting(feed);
        }
        // Number of files in a row that had nothing new.
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
        self.release(feed);
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

    /// Continues files that were rotated while the source was not running and are not read to their ends. They come first,
    /// under the names that they had.
    fn find_rotated(&mut self, feed: &mut Feed) {
        let mut left = siblings::SEARCHED;
        for (name, position) in earliest_positions(feed) {
            // Another file may have the inode of one that is gone.
            let is_other = self.waiting.iter().any(|one| one.id == position.id && !position.is_in(&one.file));
            let here = self.found.iter().find(|file| file.id == position.id && !is_other);
            match here {
                Some(file) if file.name == name => {}
                Some(_) => self.continue_renamed(&name, position, feed),
                None => match siblings::find(&path_of(&name), &position, &mut left) {
                    Some(moved) => self.continue_moved(&name, &position, moved, feed),
                    None => report_lost(&name, &position, feed),
                },
            }
        }
    }

    /// Continues a file that has another followed name now.
    fn continue_renamed(&mut self, name: &str, position: FilePosition, feed: &mut Feed) {
        let Some(at) = self.waiting.iter().position(|one| one.id == position.id) else { return };
        let Some(arrival) = self.waiting.remove(at) else { return };
        if let Ok(Some(stream)) = Stream::open(&self.options, arrival.file, name, &Start::At(position), feed)
        {
            self.begun.insert(name.to_owned());
            self.files.push(Followed::new(name.to_owned(), stream).with_rest());
        }
    }

    /// Continues a file that has a name which is not followed, or that was copied, maybe compressed.
    fn continue_moved(&mut self, name: &str, position: &FilePosition, moved: Moved, feed: &mut Feed) {
        let (path, file, start) = match moved {
            Moved::Same(path, file) => (path, file, Start::At(position.clone())),
            Moved::Copy(path, file) => (path, file, Start::Copied(position.clone())),
        };
        let stream = match Stream::open(&self.options, file, name, &start, feed) {
            Ok(Some(stream)) => stream,
            Ok(None) => return report_lost(name, position, feed),
            Err(error) => return tracing::warn!(file = %name, "{error}"),
        };
        tracing::info!(file = %name, "{name} was rotated to {}, which is read to its end first", shown(&path));
        self.begun.insert(name.to_owned());
        self.inbox.hold(stream.id());
        let gone = Some(Instant::now());
        self.files.push(Followed::new(name.to_owned(), stream).gone(gone));
        // Files that were rotated after it come before the current one.
        let at = self.waiting.iter().position(|one| one.name == name).unwrap_or(self.waiting.len());
        for sibling in siblings::created_after(&path_of(name), position).into_iter().rev() {
            if self.found.iter().any(|one| one.id == sibling.id) {
                continue;
            }
            let Ok(file) = super::listing::open(&sibling.path) else { continue };
            if position.is_copied_to(&file).unwrap_or(false) {
                continue;
            }
            tracing::info!(file = %name, "{name} was then rotated to {}, which is read too", shown(&sibling.path));
            self.inbox.hold(sibling.id);
            let (name, file) = (name.to_owned(), Arc::new(file));
            let arrival = Arrival { name, id: sibling.id, file, seen: Instant::now(), at_start: false };
            self.waiting.insert(at, arrival);
        }
    }

    /// Renames the files that have another followed path now.
    fn follow_renames(&mut self, feed: &mut Feed) {
        for file in self.files.iter_mut().filter(|file| !file.has_rest) {
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

    /// Releases files that no path leads to, when they are read to their ends and not written any more.
    fn release(&mut self, feed: &mut Feed) {
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
            // One more read after the rename: the writer may have continued until it was notified.
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

    /// Opens the waiting files, each when the earlier ones of its name are read. True if one was opened.
    fn open_waiting(&mut self, feed: &mut Feed) -> bool {
        let mut some = false;
        let mut taken: HashSet<String> = self.files.iter().map(|file| file.name.clone()).collect();
        for arrival in std::mem::take(&mut self.waiting) {
            let young = arrival.seen.elapsed() < *self.options.poll_interval * 2;
            // The first few bytes of an archive may also be those of text.
            let undecided = young && format::may_change(&arrival.file).unwrap_or(false);
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
                    tracing::warn!(file = %name, "{error}; it is tried again at each look");
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

/// Returns the stored position of each file. A file that was renamed while it was read has several; the earliest counts.
fn earliest_positions(feed: &Feed) -> Vec<(String, FilePosition)> {
    let mut positions: HashMap<FileId, (String, FilePosition)> = HashMap::new();
    for (name, position) in feed.cx().resume_all() {
        let Ok(position) = position.read::<FilePosition>() else { continue };
        if position.gone {
            continue;
        }
        let known = positions.entry(position.id).or_insert_with(|| (name.clone(), position.clone()));
        if position.offset < known.1.offset {
            *known = (name.clone(), position);
        }
    }
    let mut positions: Vec<(String, FilePosition)> = positions.into_values().collect();
    positions.sort_by(|one, other| one.0.cmp(&other.0));
    positions
}

/// Reports a file that is gone and may not have been read to its end.
fn report_lost(name: &str, position: &FilePosition, feed: &mut Feed) {
    if position.closed && position.torn_at.is_none() {
        return;
    }
    tracing::warn!(
        file = %name,
        "{name} is not the file that was read before, up to byte {}: that file is neither in its folder nor below it. The \
         rest of it is not delivered; bring it back to its folder and start again to have it read",
        position.offset
    );
    let mut mark = Batch::builder();
    mark.set_partition(name.into());
    mark.set_position(Position::new(&FilePosition { gone: true, ..position.clone() }));
    feed.send(SourceBatch::from(mark.finish()));
}
