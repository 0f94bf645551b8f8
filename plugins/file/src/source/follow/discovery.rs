//! Discovery of new and rotated files, independent of the progress of reading.
//!
//! A file is opened when it is found. So it can be read to its end, whatever happens to its name in the meantime.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tidegate_sdk::{Cx, Error};

use super::inbox::{Arrival, Found, Identity, Inbox};
use super::missing::{Lost, Missing};
use super::siblings::{self, Folders, Sibling};
use super::watch::{Creations, Watch};
use crate::failure::reason;
use crate::source::feed::on_shared_thread;
use crate::source::listing::{self, Listing, folder_of};
use crate::source::names::{path_of, shown};
use crate::source::position::{self, FileId};

/// Most files that are followed at the same time: each is an open descriptor.
pub(crate) const FILES: usize = 1000;
/// Most renames of a file while it is being opened.
const RENAMES: usize = 5;
/// Looks after a rotation in which its files are searched: a rename at the same time may hide one.
const LOOKS: u8 = 2;
/// Time for which a new empty file is looked at without a report of the system, which reports names and not contents.
const EMPTY: Duration = Duration::from_secs(1);
/// Shortest pause between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Looks for files until the pipeline drains: at each `pause`, and when the system reports a change.
pub(crate) async fn discover(listing: Listing, pause: Duration, inbox: Arc<Inbox>, cx: Cx) {
    let mut discovery = Discovery::new(listing);
    loop {
        let (target, started) = (Arc::clone(&inbox), Instant::now());
        let look = on_shared_thread(&cx, move || {
            discovery.look(&target).iter().for_each(Lost::warn);
            discovery
        });
        let Ok(back) = look.await else { return };
        discovery = back;
        inbox.changed.notify_one();
        // In a folder that changes all the time, most of the time is not spent on looking.
        let rest = (started.elapsed() * 4).max(SHORTEST_PAUSE).min(pause);
        let changed = async {
            if let Some(queue) = discovery.watch.queue()
                && let Ok(mut ready) = queue.readable().await
            {
                ready.clear_ready();
                return;
            }
            std::future::pending::<()>().await;
        };
        let is_waiting = discovery.missing.waiting().next().is_some() || discovery.expects_content();
        let next = async {
            tokio::time::sleep(rest).await;
            if !is_waiting {
                changed.await;
            }
        };
        tokio::select! {
            () = next => {}
            is_over = cx.sleep(pause) => if !is_over { return },
        }
    }
}

/// Result of an attempt to open a file.
enum Arrived {
    Open,
    /// The file was deleted, or moved out of its folder.
    Gone,
    Failed,
}

/// Files that were found so far, and the state that tells new files from old ones.
struct Discovery {
    listing: Listing,
    watch: Watch,
    /// The file that was opened last of those that each path led to.
    names: HashMap<String, Identity>,
    /// The file at each path at the last look, whether it was opened or not.
    present: HashMap<String, Identity>,
    missing: Missing,
    /// Empty files, which are opened once they have content, with the time at which each was seen first.
    empty: HashMap<Identity, Instant>,
    folders: Folders,
    /// Paths that lost their file a short time ago, with the number of looks in which their siblings are still searched.
    rotating: HashMap<String, u8>,
    /// Paths that could not be looked at or opened, so that each is reported once.
    complained: HashSet<PathBuf>,
    /// Those of them that were there at the start.
    late: HashSet<PathBuf>,
    is_first: bool,
}

impl Discovery {
    fn new(listing: Listing) -> Self {
        Self {
            listing,
            watch: Watch::default(),
            names: HashMap::new(),
            present: HashMap::new(),
            missing: Missing::default(),
            empty: HashMap::new(),
            folders: Folders::default(),
            rotating: HashMap::new(),
            complained: HashSet::new(),
            late: HashSet::new(),
            is_first: true,
        }
    }

    /// Looks for files, and returns those that must have been there and cannot be found.
    fn look(&mut self, inbox: &Inbox) -> Vec<Lost> {
        let names = self.followed_names();
        let folders = self.folders_of(names.iter());
        self.watch.set(&folders);
        let creations = self.creations(&names);
        self.folders.add(&folders);
        // The times are read before the paths, so that a later change is seen by the next look.
        let changed = self.folders.changed();
        let listed = match self.listing.files() {
            Ok(listed) if listed.files.len() <= FILES => listed,
            Ok(listed) => {
                let count = listed.files.len();
                inbox.fail(Error::misconfigured(format!(
                    "{count} files match, and at most {FILES} can be followed at once; narrow the path"
                )));
                return Vec::new();
            }
            Err(error) => {
                inbox.fail(error);
                return Vec::new();
            }
        };
        let mut troubled = HashSet::new();
        for (path, error) in &listed.problems {
            self.complain(path, error);
            troubled.insert(path.clone());
        }
        let mut found = Vec::with_capacity(listed.files.len());
        let mut new = Vec::new();
        for seen in &listed.files {
            let (id, created) = (FileId::of(&seen.known), position::created(&seen.known));
            let one = Found { name: shown(&seen.path), id, created, length: seen.known.len() };
            if one.length > 0 && !inbox.holds(one.id) {
                new.push((seen.path.clone(), one.clone()));
            }
            found.push(one);
        }
        let empty = found.iter().filter(|one| one.length == 0 && !inbox.holds(one.id)).map(Found::identity);
        self.empty =
            empty.map(|file| (file, self.empty.get(&file).copied().unwrap_or_else(Instant::now))).collect();
        self.folders.add(&self.folders_of(found.iter().map(|one| &one.name)));
        let (missed, mut lost) = self.missed(&names, &found, &changed, &creations);
        for (path, one) in missed.into_iter().chain(new) {
            match self.arrive(&path, &one, inbox) {
                Arrived::Open => {}
                Arrived::Gone => lost.push(Lost { name: one.name, count: 1 }),
                Arrived::Failed => {
                    self.folders.forget(&one.name, one.identity());
                    troubled.insert(path);
                }
            }
        }
        self.complained.retain(|path| troubled.contains(path));
        self.is_first = false;
        self.remember(&found, changed, inbox);
        inbox.put(found);
        lost
    }

    /// Tells whether a file was created a moment ago and is still empty: its first bytes follow at once.
    fn expects_content(&self) -> bool {
        self.empty.values().any(|since| since.elapsed() < EMPTY)
    }

    /// Returns the paths that were found before, and those that are written out in the options.
    fn followed_names(&self) -> BTreeSet<String> {
        let literal = self.listing.literal_paths().map(shown);
        self.names.keys().cloned().chain(literal).collect()
    }

    /// Returns the folders of these paths, and those in which files are expected.
    fn folders_of<'a>(&self, names: impl Iterator<Item = &'a String>) -> BTreeSet<PathBuf> {
        names.map(|name| folder_of(&path_of(name)).to_owned()).chain(self.listing.folders()).collect()
    }

    /// Reads how many files were made at each path since the last look.
    fn creations(&mut self, names: &BTreeSet<String>) -> Creations {
        let is_followed = |path: &Path| {
            let short = path.strip_prefix(".").unwrap_or(path);
            self.listing.matches(path) || names.contains(&shown(path)) || names.contains(&shown(short))
        };
        self.watch.creations(&is_followed).unwrap_or_else(|| {
            tracing::warn!(
                "more names have changed in the followed folders than the system reports at once; files that were \
                 rotated more than once in this time may be missing"
            );
            Creations::new()
        })
    }

    /// Opens a file and leaves it for the reader.
    fn arrive(&mut self, path: &Path, one: &Found, inbox: &Inbox) -> Arrived {
        if let Some(waiting) = inbox.full() {
            let error = io::Error::other(format!("{waiting} files wait already, which are read first"));
            self.complain(path, &error);
            return Arrived::Failed;
        }
        let file = match open(path, one.id) {
            Ok(Some(file)) => file,
            Ok(None) => return Arrived::Gone,
            Err(error) => {
                self.complain(path, &error);
                return Arrived::Failed;
            }
        };
        let at_start = self.late.remove(path) || self.is_first;
        self.folders.know(&one.name, one.identity());
        let (name, file) = (one.name.clone(), Arc::new(file));
        inbox.arrive(Arrival { name, id: one.id, file, seen: Instant::now(), at_start });
        Arrived::Open
    }

    /// Remembers the files of this look for the next one.
    fn remember(&mut self, found: &[Found], changed: Changed, inbox: &Inbox) {
        let is_rotating = |folder: &Path| {
            let mut rotating = self.rotating.keys().map(|name| path_of(name));
            rotating.any(|path| folder_of(&path) == folder)
        };
        let quiet: Vec<_> = changed.into_iter().filter(|(folder, _)| !is_rotating(folder)).collect();
        for (folder, changed) in quiet {
            self.folders.complete(&folder, changed);
        }
        self.present = found.iter().map(|one| (one.name.clone(), one.identity())).collect();
        for one in found {
            if inbox.holds(one.id) {
                self.names.insert(one.name.clone(), one.identity());
            } else {
                self.folders.forget(&one.name, one.identity());
            }
        }
        // A path may lead nowhere for a moment, between two files.
        if self.names.len() > 2 * FILES {
            self.names.retain(|name, _| found.iter().any(|one| one.name == *name));
        }
    }

    /// Returns the files that had a followed path for a moment since the last look. They lie beside it, under the names
    /// that rotation gave them. Those that do not are lost.
    fn missed(
        &mut self,
        names: &BTreeSet<String>,
        found: &[Found],
        changed: &Changed,
        creations: &Creations,
    ) -> (Vec<(PathBuf, Found)>, Vec<Lost>) {
        let (mut missed, mut lost): (Vec<(PathBuf, Found)>, _) = (Vec::new(), Vec::new());
        if self.is_first {
            return (missed, lost);
        }
        let by_name: HashMap<&str, &Found> = found.iter().map(|one| (one.name.as_str(), one)).collect();
        let made = creations.keys().filter(|path| self.listing.matches(path)).map(|path| shown(path));
        let mut all: BTreeSet<String> = names.clone();
        all.extend(found.iter().map(|one| one.name.clone()));
        all.extend(self.missing.waiting().cloned());
        all.extend(made.filter(|name| !names.contains(name.strip_prefix("./").unwrap_or(name))));
        for name in &all {
            let path = path_of(name);
            let now = by_name.get(name.as_str()).map(|one| one.identity());
            let (opened, present) = (self.names.get(name).copied(), self.present.get(name).copied());
            let is_changed = match now {
                Some(_) => now != present,
                None => changed.contains_key(folder_of(&path)),
            };
            let siblings = if self.is_rotating(name, is_changed) {
                siblings::rotated_since(&path, &self.folders)
            } else {
                Vec::new()
            };
            let siblings: Vec<Sibling> =
                siblings.into_iter().filter(|one| Some(one.identity()) != opened).collect();
            let is_new = now.is_some() && now != present;
            let beside = siblings.iter().filter(|one| Some(one.identity()) != present).count();
            let made = created_at(creations, &path);
            let count = self.missing.compare(name, made, usize::from(is_new) + beside);
            if count > 0 {
                lost.push(Lost { name: name.clone(), count });
            }
            for sibling in siblings {
                let identity = sibling.identity();
                let is_known = found.iter().any(|other| other.identity() == identity)
                    || self.names.values().any(|known| *known == identity)
                    || missed.iter().any(|(_, other)| other.identity() == identity);
                if !is_known {
                    let (id, created, length) = (sibling.id, sibling.created, sibling.length);
                    missed.push((sibling.path, Found { name: name.clone(), id, created, length }));
                }
            }
        }
        (missed, lost)
    }

    /// Tells whether the siblings of a path are searched: after a change, and in some looks after it.
    fn is_rotating(&mut self, name: &str, is_changed: bool) -> bool {
        if is_changed || self.missing.is_waiting(name) {
            self.rotating.insert(name.to_owned(), LOOKS);
            return true;
        }
        let Some(left) = self.rotating.get_mut(name) else { return false };
        *left -= 1;
        if *left == 0 {
            self.rotating.remove(name);
        }
        true
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        if self.is_first {
            self.late.insert(path.to_owned());
        }
        if self.complained.insert(path.to_owned()) {
            let (name, why) = (shown(path), reason(error));
            tracing::warn!(file = %name, "{name} cannot be read: {why}; it is tried again at each look");
        }
    }
}

/// Folders that may have changed, with the times of their last changes.
type Changed = HashMap<PathBuf, Option<SystemTime>>;

fn created_at(creations: &Creations, path: &Path) -> usize {
    let folder = folder_of(path);
    let at = path.file_name().and_then(|name| creations.get(&folder.join(name)));
    at.copied().unwrap_or(0)
}

/// Opens the file of this identity, though it may be rotated at the same time. `None` if it is gone.
fn open(path: &Path, id: FileId) -> io::Result<Option<File>> {
    let mut path = path.to_owned();
    for _ in 0..RENAMES {
        match listing::open(&path).and_then(|file| Ok((FileId::of(&file.metadata()?), file))) {
            Ok((other, file)) if other == id => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // A rename at the same time may hide the file from one search.
        if let Some(renamed) = siblings::renamed(&path, id) {
            path = renamed;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
