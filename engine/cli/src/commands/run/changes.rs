//! Detection of changed pipeline files, for `tidegate run --watch`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tidegate_sdk::Tasks;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::files;

/// Interval of the checks. A change counts when the next check finds no other.
const PERIOD: Duration = Duration::from_secs(1);

/// Modification time and size of each file.
type Marks = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;
/// Content of each file; `None` for an unreadable one.
type Texts = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// State of the pipeline files at the last check.
pub(crate) struct Snapshot {
    paths: Vec<PathBuf>,
    marks: Marks,
    /// Content at the last reported change.
    texts: Texts,
    /// The last check differed from the one before it.
    is_changing: bool,
}

impl Snapshot {
    /// Reads the files that `paths` mean.
    pub(crate) fn take(paths: &[PathBuf]) -> Self {
        Self { paths: paths.to_owned(), marks: marks(paths), texts: texts(paths), is_changing: false }
    }

    /// Reads the files again. Returns true if there is new content and no file is still changing.
    fn refresh(&mut self) -> bool {
        let marks = marks(&self.paths);
        let paths = self.paths.clone();
        self.compare(marks, || texts(&paths))
    }

    fn compare(&mut self, marks: Marks, texts: impl FnOnce() -> Texts) -> bool {
        if self.marks != marks {
            self.marks = marks;
            self.is_changing = true;
            return false;
        }
        if !std::mem::take(&mut self.is_changing) {
            return false;
        }
        let texts = texts();
        let is_new = self.texts != texts;
        self.texts = texts;
        is_new
    }
}

/// Changes of pipeline files. A task of its own reads them, so a file that cannot be read delays no signal.
pub(crate) struct Changes {
    changed: Receiver<()>,
    task: JoinHandle<()>,
}

impl Changes {
    /// Reports changes since this snapshot. Must be called within a tokio runtime.
    pub(crate) fn since(snapshot: Snapshot) -> Self {
        let (report, changed) = channel(1);
        Self { changed, task: Tasks::new().spawn(check(snapshot, report)) }
    }

    /// Resolves when a file was changed, added or removed. May be dropped at any time: no change is missed.
    pub(crate) async fn next(&mut self) {
        if self.changed.recv().await.is_none() {
            // The task has panicked, and the panic is in the log.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn check(mut snapshot: Snapshot, report: Sender<()>) {
    let tasks = Tasks::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let refreshed = tasks.spawn_blocking(move || {
            let is_new = snapshot.refresh();
            (snapshot, is_new)
        });
        let Ok((checked, is_new)) = refreshed.await else { return };
        snapshot = checked;
        if is_new && report.send(()).await.is_err() {
            return;
        }
    }
}

fn marks(paths: &[PathBuf]) -> Marks {
    let mark = |path: PathBuf| {
        let known = path.metadata().and_then(|known| Ok((known.modified()?, known.len())));
        (path, known.ok())
    };
    files::expand(paths).0.into_iter().map(mark).collect()
}

fn texts(paths: &[PathBuf]) -> Texts {
    let read = |path: PathBuf| {
        let bytes = files::bytes(&path).ok();
        (path, bytes)
    };
    files::expand(paths).0.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(second: u64) -> Marks {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        [("a.toml".into(), Some((time, 1)))].into()
    }

    fn holding(text: &str) -> impl FnOnce() -> Texts {
        let text = text.as_bytes().to_vec();
        move || [("a.toml".into(), Some(text))].into()
    }

    fn old() -> Snapshot {
        Snapshot { paths: Vec::new(), marks: marked(0), texts: holding("old")(), is_changing: false }
    }

    #[test]
    fn a_change_is_reported_once_and_only_after_the_last_write() {
        let mut seen = old();
        assert!(!seen.compare(marked(0), holding("never read")), "nothing has changed");
        assert!(!seen.compare(marked(1), holding("ne")), "an editor may still be writing");
        assert!(!seen.compare(marked(2), holding("new")));
        assert!(seen.compare(marked(2), holding("new")));
        assert!(!seen.compare(marked(2), holding("new")), "it was reported before");
    }

    #[test]
    fn a_file_that_was_only_touched_has_not_changed() {
        let mut seen = old();
        assert!(!seen.compare(marked(1), holding("old")));
        assert!(!seen.compare(marked(1), holding("old")));
    }

    #[test]
    fn files_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().to_owned()];
        let path = folder.path().join("a.toml");
        let mut all = vec![texts(&paths)];
        std::fs::write(&path, "one").unwrap();
        all.push(texts(&paths));
        assert_eq!(marks(&paths).len(), 1);
        std::fs::write(&path, "two").unwrap();
        all.push(texts(&paths));
        std::fs::remove_file(&path).unwrap();
        assert!(marks(&paths).is_empty());
        assert_eq!(texts(&paths), all[0]);
        all.dedup();
        assert_eq!(all.len(), 3);
    }
}
