//! Destinations of the events, read without the code under test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tidegate_servers::redis::{Redis, Reply};

use crate::oracle::{WIDTH, event, id, number};

/// Number of entries in one query.
const PAGE: u64 = 5000;

/// Kind of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A file.
    File,
    /// A Redis list.
    List,
    /// A Redis stream.
    Stream,
    /// A Redis hash, a field for each event.
    Hash,
    /// Redis strings, a key for each event.
    Strings,
}

/// The key of a list, stream or hash, and the prefix of the keys of strings.
const KEY: &str = "crash";

impl Shape {
    /// True for a destination in Redis.
    pub(crate) fn is_in_redis(self) -> bool {
        self != Self::File
    }

    /// True if the destination keeps the order of events, and duplicates.
    pub(crate) fn keeps_order(self) -> bool {
        matches!(self, Self::File | Self::List | Self::Stream)
    }

    /// Options of the sink, without the address of the server.
    pub(crate) fn options(self, file: &Path) -> String {
        match self {
            Self::File => format!("plugin = \"file\"\npath = \"{}\"\n", file.display()),
            Self::List => format!("plugin = \"redis\"\ncommand = \"rpush\"\nkey = \"{KEY}\"\n"),
            Self::Stream => format!("plugin = \"redis\"\ncommand = \"xadd\"\nkey = \"{KEY}\"\n"),
            Self::Hash => format!(
                "plugin = \"redis\"\ncommand = \"hset\"\nkey = \"{KEY}\"\nas = \"payload\"\nfield = \".id\"\n"
            ),
            Self::Strings => {
                format!("plugin = \"redis\"\ncommand = \"set\"\nkey = \"{KEY}:{{.id}}\"\n")
            }
        }
    }
}

/// The content of a destination.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// Its kind.
    pub(crate) shape: Shape,
    /// True if events arrive in order.
    pub(crate) in_order: bool,
    /// The file, for [`Shape::File`].
    pub(crate) file: &'a Path,
    /// The server, for the other kinds.
    pub(crate) redis: Option<&'a Redis>,
}

impl Destination<'_> {
    /// A number that grows when events arrive.
    ///
    /// # Errors
    /// If the server does not reply.
    pub(crate) fn length(&self) -> Result<u64> {
        let count = match self.shape {
            Shape::File => return Ok(fs::metadata(self.file).map_or(0, |file| file.len())),
            Shape::List => self.ask(["LLEN", KEY])?.integer(),
            Shape::Stream => self.ask(["XLEN", KEY])?.integer(),
            Shape::Hash => self.ask(["HLEN", KEY])?.integer(),
            Shape::Strings => self.ask(["DBSIZE"])?.integer(),
        };
        count.map(|count| count as u64).context("a count is a number")
    }

    /// True if this event arrived. If events arrive in order, the last one decides.
    ///
    /// # Errors
    /// If the server does not reply.
    pub(crate) fn has(&self, wanted: u64) -> Result<bool> {
        if !self.in_order && self.shape.keeps_order() {
            return self.has_anywhere(wanted);
        }
        let last = match self.shape {
            Shape::File => self.last_line(),
            Shape::List => self.ask(["LINDEX", KEY, "-1"])?.text().into(),
            Shape::Stream => {
                let entries = self.ask(["XREVRANGE", KEY, "+", "-", "COUNT", "1"])?;
                entries.list().first().map(|entry| payload(entry).to_vec()).unwrap_or_default()
            }
            Shape::Hash => self.ask(["HGET", KEY, &id(wanted)])?.text().into(),
            Shape::Strings => self.ask(["GET", &format!("{KEY}:{}", id(wanted))])?.text().into(),
        };
        Ok(number(&last).is_some_and(|last| last >= wanted))
    }

    /// True if this event is near the end.
    fn has_anywhere(&self, wanted: u64) -> Result<bool> {
        let (wanted, near) = (event(wanted), (4 * PAGE).to_string());
        if self.shape == Shape::List {
            let found = self.ask(["LPOS", KEY, &wanted, "RANK", "-1", "MAXLEN", &near])?;
            return Ok(found != Reply::Nil);
        }
        let entries = self.ask(["XREVRANGE", KEY, "+", "-", "COUNT", &near])?;
        Ok(entries.list().iter().any(|entry| payload(entry) == wanted.as_bytes()))
    }

    /// Passes the whole content to `arrived`, in its order if it has one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn each(&self, sent: u64, mut arrived: impl FnMut(&[u8])) -> Result<()> {
        match self.shape {
            Shape::File => {
                for path in rotated(self.file)? {
                    let bytes = fs::read(path)?;
                    bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| {
                        // A last line without its end is incomplete, so half of it is passed, which is not an event.
                        arrived(line.strip_suffix(b"\n").unwrap_or(&line[..line.len() / 2]));
                    });
                }
                Ok(())
            }
            Shape::List => self.each_of_list(arrived),
            Shape::Stream => self.each_of_stream(arrived),
            Shape::Hash => self.each_of_hash(arrived),
            Shape::Strings => self.each_string(sent, arrived),
        }
    }

    fn each_of_list(&self, mut arrived: impl FnMut(&[u8])) -> Result<()> {
        for start in (0..).step_by(PAGE as usize) {
            let stop = start + PAGE - 1;
            let page = self.ask(["LRANGE", KEY, &start.to_string(), &stop.to_string()])?;
            page.list().iter().for_each(|entry| arrived(entry.text().as_bytes()));
            if page.list().is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn each_of_stream(&self, mut arrived: impl FnMut(&[u8])) -> Result<()> {
        let mut start = "-".to_owned();
        loop {
            let page = self.ask(["XRANGE", KEY, &start, "+", "COUNT", &PAGE.to_string()])?;
            page.list().iter().for_each(|entry| arrived(payload(entry)));
            match page.list().last().and_then(|entry| entry.list().first()) {
                Some(last) => start = format!("({}", last.text()),
                None => return Ok(()),
            }
        }
    }

    fn each_of_hash(&self, mut arrived: impl FnMut(&[u8])) -> Result<()> {
        let all = self.ask(["HGETALL", KEY])?;
        for pair in all.list().chunks(2) {
            let [field, value] = pair else { continue };
            // The sink may keep its record in a field that does not look like an event.
            if field.text().bytes().all(|byte| byte.is_ascii_digit()) {
                let own = number(value.text().as_bytes()).is_some_and(|number| id(number) == field.text());
                arrived(if own { value.text().as_bytes() } else { b"a value under another's field" });
            }
        }
        Ok(())
    }

    fn each_string(&self, sent: u64, mut arrived: impl FnMut(&[u8])) -> Result<()> {
        for start in (0..sent).step_by(PAGE as usize) {
            let keys = (start..sent.min(start + PAGE)).map(|number| format!("{KEY}:{}", id(number)));
            let values = self.ask(std::iter::once("MGET".to_owned()).chain(keys))?;
            ensure!(!matches!(values, Reply::Error(_)), "redis refuses: {values:?}");
            for (index, value) in values.list().iter().enumerate().filter(|(_, value)| **value != Reply::Nil)
            {
                let own = value.text() == event(start + index as u64);
                arrived(if own { value.text().as_bytes() } else { b"a value under another's key" });
            }
        }
        Ok(())
    }

    fn last_line(&self) -> Vec<u8> {
        let mut last = vec![0; WIDTH + 1];
        let read = || {
            let file = File::open(self.file)?;
            let start = file.metadata()?.len().saturating_sub(last.len() as u64);
            file.read_exact_at(&mut last, start)
        };
        let found: std::io::Result<()> = { read }();
        if found.is_err() || last.pop() != Some(b'\n') {
            return Vec::new();
        }
        last
    }

    fn ask<A: AsRef<[u8]>>(&self, command: impl IntoIterator<Item = A>) -> Result<Reply> {
        let reply = self.redis.context("there is a server for what is in Redis")?.query(command);
        ensure!(!matches!(reply, Reply::Error(_)), "redis refuses: {reply:?}");
        Ok(reply)
    }
}

/// The value of the only field of an entry.
fn payload(entry: &Reply) -> &[u8] {
    let fields = entry.list().get(1).map(Reply::list).unwrap_or_default();
    match fields {
        [_, value] => value.text().as_bytes(),
        _ => b"an entry with other fields",
    }
}

/// The sealed files of a file that is rotated, oldest first, and the file itself.
fn rotated(file: &Path) -> Result<Vec<PathBuf>> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned() + "-";
    let folder = file.parent().context("the file is in a folder")?;
    let mut sealed: Vec<PathBuf> = Vec::new();
    if !folder.exists() {
        return Ok(sealed);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&stem) {
            sealed.push(entry.path());
        }
    }
    sealed.sort();
    if file.exists() {
        sealed.push(file.to_owned());
    }
    Ok(sealed)
}
