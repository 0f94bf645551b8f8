//! Writes the file that the source follows, the way a careless program writes a log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::chance::Chance;
use crate::oracle::event;

/// How many events are written at a time, at most.
const CHUNK: u64 = 200;

/// How many now and then: more than is written at a time, so that what was read waits for the sink.
const BURST: u64 = 4000;

/// A file of numbered events that grows.
#[derive(Debug)]
pub(crate) struct Feeder {
    path: PathBuf,
    file: File,
    chance: Chance,
    /// The number of the next event.
    next: u64,
    /// What is still to be written of the last event.
    rest: String,
}

impl Feeder {
    /// A new file in a folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn new(folder: &Path, chance: Chance) -> Result<Self> {
        let path = folder.join("numbers.jsonl");
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self { path, file, chance, next: 0, rest: String::new() })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many events were written, the last one perhaps in part.
    pub(crate) fn sent(&self) -> u64 {
        self.next
    }

    /// Appends some events, the last one now and then only in part: the rest comes with the next call.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn some(&mut self) -> Result<()> {
        let count = match self.chance.one_in(32) {
            true => self.chance.within(CHUNK..BURST),
            false => self.chance.within(1..CHUNK),
        };
        let torn = self.chance.one_in(4);
        self.append(count, torn)
    }

    /// Appends this many whole events.
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
            let kept = text.len() - self.chance.within(1..crate::oracle::WIDTH as u64) as usize;
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
    fn the_file_holds_each_event_once_whatever_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut feeder = Feeder::new(folder.path(), Chance::new(7)).unwrap();
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
