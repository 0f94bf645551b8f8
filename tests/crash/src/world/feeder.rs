//! Writes the file that the source follows, in chunks that end within lines, as programs write logs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::oracle::event;
use crate::random::Random;

/// Maximum number of events in a usual chunk.
const CHUNK: u64 = 200;

/// Maximum number of events in a burst: more than the sink writes at a time, so that batches wait for it.
const BURST: u64 = 4000;

/// A file of numbered events that grows.
#[derive(Debug)]
pub(crate) struct Feeder {
    path: PathBuf,
    file: File,
    random: Random,
    /// The number of the next event.
    next: u64,
    /// Unwritten end of the last event.
    rest: String,
}

impl Feeder {
    /// Creates the file in a folder.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(crate) fn new(folder: &Path, random: Random) -> Result<Self> {
        let path = folder.join("numbers.jsonl");
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("{} cannot be created", path.display()))?;
        Ok(Self { path, file, random, next: 0, rest: String::new() })
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of events written, the last one perhaps in part.
    pub(crate) fn sent(&self) -> u64 {
        self.next
    }

    /// Appends some events. The last one is sometimes written in part, and completed by the next call.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn some(&mut self) -> Result<()> {
        let range = if self.random.one_in(32) { CHUNK..BURST } else { 1..CHUNK };
        let count = self.random.within(range);
        let torn = self.random.one_in(4);
        self.append(count, torn)
    }

    /// Appends `count` complete events.
    ///
    /// # Errors
    /// As [`some`](Self::some).
    pub(crate) fn whole(&mut self, count: u64) -> Result<()> {
        self.append(count, false)
    }

    fn append(&mut self, count: u64, torn: bool) -> Result<()> {
        let mut text = std::mem::take(&mut self.rest);
        for _ in 0..count {
            text += &event(self.next);
            text.push('\n');
            self.next += 1;
        }
        if torn {
            let kept = text.len() - self.random.within(1..crate::oracle::WIDTH as u64) as usize;
            self.rest = text.split_off(kept);
        }
        self.file.write_all(text.as_bytes()).context("the input cannot be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Checker;

    #[test]
    fn file_holds_each_event_once_wherever_writes_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut feeder = Feeder::new(folder.path(), Random::new(7)).unwrap();
        let mut cut = 0;
        for _ in 0..50 {
            feeder.some().unwrap();
            cut += usize::from(!std::fs::read(feeder.path()).unwrap().ends_with(b"\n"));
        }
        feeder.whole(1).unwrap();
        assert!(cut > 5, "{cut} writes ended within an event");
        let mut checker = Checker::new(feeder.sent());
        for line in std::fs::read_to_string(feeder.path()).unwrap().lines() {
            checker.arrived(line.as_bytes());
        }
        let tally = checker.finish().0;
        assert_eq!((tally.sent, tally.lost, tally.duplicated, tally.torn), (feeder.sent(), 0, 0, 0));
    }
}
