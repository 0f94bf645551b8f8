//! Whether pipeline files have changed, for `tidegate run --watch`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::files;

/// How often the files are looked at. A change counts when the next look finds no other.
const PERIOD: Duration = Duration::from_secs(1);

/// What the folder says of each file.
type Marks = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;
/// What each file holds; nothing of one that cannot be read.
type Texts = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Looks at the files that `paths` mean, again and again.
pub(crate) struct Changes {
    paths: Vec<PathBuf>,
    ticks: Interval,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// At the last look.
    marks: Marks,
    /// At the last change that was told.
    texts: Texts,
    /// The last look was not like the one before it.
    is_settling: bool,
}

impl Changes {
    /// What changes from now on. To be called within a tokio runtime.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = Seen { marks: marks(paths), texts: texts(paths), is_settling: false };
        Self { paths: paths.to_owned(), ticks, seen }
    }

    /// Resolves when a file holds something else than before, one has come, or one has gone. May be dropped
    /// at any time: nothing is missed.
    pub(crate) async fn next(&mut self) {
        loop {
            self.ticks.tick().await;
            if self.seen.look(marks(&self.paths), || texts(&self.paths)) {
                return;
            }
        }
    }
}

impl Seen {
    /// Takes in a look. True if the files hold something new and have come to rest.
    fn look(&mut self, marks: Marks, texts: impl FnOnce() -> Texts) -> bool {
        if self.marks != marks {
            self.marks = marks;
            self.is_settling = true;
            return false;
        }
        if !std::mem::take(&mut self.is_settling) {
            return false;
        }
        let texts = texts();
        let is_new = self.texts != texts;
        self.texts = texts;
        is_new
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

    #[test]
    fn a_change_is_told_once_and_only_when_the_files_are_at_rest() {
        let mut seen = Seen { marks: marked(0), texts: holding("old")(), is_settling: false };
        assert!(!seen.look(marked(0), holding("never read")), "nothing has changed");
        assert!(!seen.look(marked(1), holding("ne")), "an editor may still be writing");
        assert!(!seen.look(marked(2), holding("new")));
        assert!(seen.look(marked(2), holding("new")));
        assert!(!seen.look(marked(2), holding("new")), "it has been told");
    }

    #[test]
    fn a_file_that_was_only_touched_has_not_changed() {
        let mut seen = Seen { marks: marked(0), texts: holding("old")(), is_settling: false };
        assert!(!seen.look(marked(1), holding("old")));
        assert!(!seen.look(marked(1), holding("old")));
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
