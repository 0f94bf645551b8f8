//! Notifications of the system that a name in a folder was created, renamed or deleted.
//!
//! They wake discovery, and they count the files that a path had for a moment. Where the system has none, or the folder is
//! on another machine, discovery depends on `poll_interval` alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Files that were made at, or moved to, some paths since the last call of [`Watch::creations`].
pub(super) type Creations = HashMap<PathBuf, usize>;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use inotify::Watch;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use unsupported::Watch;

/// The nearest folder above `folder`, or `folder`, that exists.
fn existing(folder: &Path) -> Option<&Path> {
    let above = folder.ancestors().map(|one| if one.as_os_str().is_empty() { Path::new(".") } else { one });
    above.into_iter().find(|one| one.is_dir())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify {
    use std::collections::{BTreeSet, HashMap};
    use std::ffi::OsStr;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;
    use tokio::io::unix::AsyncFd;

    use super::{Creations, existing};
    use crate::failure::reason;
    use crate::source::names::shown;

    const BUFFER: usize = 16 << 10;

    /// Most sources of this process that are notified. Many systems allow a user 128 such queues in all processes.
    const QUEUES: usize = 64;

    /// Queues of this process that are open.
    static OPEN: AtomicUsize = AtomicUsize::new(0);

    /// Right to have a queue.
    #[derive(Debug)]
    struct Permit;

    impl Permit {
        fn take() -> Option<Self> {
            let take = |open| (open < QUEUES).then_some(open + 1);
            OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| Self)
        }
    }

    impl Drop for Permit {
        fn drop(&mut self) {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Watched folders of one source.
    #[derive(Debug, Default)]
    pub(in super::super) struct Watch {
        /// `None` until the first folder is watched, and if no more queues are allowed.
        queue: Option<Arc<AsyncFd<OwnedFd>>>,
        permit: Option<Permit>,
        folders: HashMap<i32, PathBuf>,
        /// The name that was renamed last, with the cookie that the new name has too.
        renamed: Option<(u32, PathBuf)>,
        failed: bool,
    }

    #[expect(deprecated, reason = "the other function is unsafe, and an owned descriptor stays open")]
    fn registered(queue: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::new(queue)
    }

    impl Watch {
        /// Watches these folders, or the folders that they will be made in.
        pub(in super::super) fn set(&mut self, folders: &BTreeSet<PathBuf>) {
            let wanted: BTreeSet<&Path> = folders.iter().filter_map(|folder| existing(folder)).collect();
            self.remove_others(&wanted);
            for folder in wanted {
                if self.failed || self.folders.values().any(|watched| watched == folder) {
                    continue;
                }
                match self.add(folder) {
                    Ok(()) => {}
                    // The next look tries again.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.failed = true;
                        let (name, why) = (shown(folder), reason(&error));
                        tracing::info!(
                            folder = %name,
                            "{name} is not watched for new files: {why}; files that are deleted or compressed within \
                             `poll_interval` may be missed"
                        );
                    }
                }
            }
        }

        fn remove_others(&mut self, wanted: &BTreeSet<&Path>) {
            let Some(queue) = &self.queue else { return };
            self.folders.retain(|watch, folder| {
                let is_wanted = wanted.contains(folder.as_path());
                if !is_wanted {
                    // An error means that the watch is gone already.
                    let _ = inotify::remove_watch(queue.get_ref(), *watch);
                }
                is_wanted
            });
        }

        fn add(&mut self, folder: &Path) -> io::Result<()> {
            let queue = match &self.queue {
                Some(queue) => Arc::clone(queue),
                None => {
                    self.permit = Some(Permit::take().ok_or_else(|| {
                        io::Error::other(format!(
                            "{QUEUES} sources of this process are notified of new files already"
                        ))
                    })?);
                    let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
                    Arc::clone(self.queue.insert(Arc::new(registered(queue)?)))
                }
            };
            let names =
                WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
            let watch = inotify::add_watch(queue.get_ref(), folder, names | WatchFlags::ONLYDIR)?;
            self.folders.insert(watch, folder.to_owned());
            Ok(())
        }

        /// Returns a handle that completes when a watched folder has changed.
        pub(in super::super) fn queue(&self) -> Option<Arc<AsyncFd<OwnedFd>>> {
            self.queue.clone()
        }

        /// Counts the files that were made since the last call, each at the `followed` path that it had last. `None` if the system has dropped notifications.
        pub(in super::super) fn creations(&mut self, followed: &dyn Fn(&Path) -> bool) -> Option<Creations> {
            let mut creations = Creations::new();
            let Some(queue) = self.queue.clone() else { return Some(creations) };
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut reader = Reader::new(queue.get_ref(), &mut buffer);
            let mut is_complete = true;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    Err(_) => break,
                };
                let kind = event.events();
                if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                    is_complete = false;
                }
                if kind.contains(ReadFlags::IGNORED) {
                    // The folder was deleted. It is watched again when it is back.
                    self.folders.remove(&event.wd());
                }
                let (Some(folder), Some(name)) = (self.folders.get(&event.wd()), event.file_name()) else {
                    continue;
                };
                let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                if kind.contains(ReadFlags::MOVED_FROM) {
                    self.renamed = Some((event.cookie(), path));
                    continue;
                }
                if !kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO)
                    || kind.contains(ReadFlags::ISDIR)
                {
                    continue;
                }
                let from = self.renamed.take().filter(|(cookie, _)| *cookie == event.cookie());
                let from = from.map(|(_, from)| from).filter(|from| followed(from));
                if let Some(from) = from {
                    // Only a file that was made since the last call is still to be found, now at its new path.
                    let is_counted = creations.get(&from).is_some_and(|count| *count > 0);
                    if !is_counted || !followed(&path) {
                        continue;
                    }
                    creations.entry(from).and_modify(|count| *count -= 1);
                }
                *creations.entry(path).or_default() += 1;
            }
            is_complete.then_some(creations)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unsupported {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::Creations;

    #[derive(Debug, Default)]
    pub(in super::super) struct Watch;

    impl Watch {
        pub(in super::super) fn set(&mut self, _: &BTreeSet<PathBuf>) {}

        pub(in super::super) fn queue(&self) -> Option<Arc<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>> {
            None
        }

        pub(in super::super) fn creations(&mut self, _: &dyn Fn(&Path) -> bool) -> Option<Creations> {
            Some(Creations::new())
        }
    }
}
