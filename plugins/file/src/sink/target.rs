//! One file that events are appended to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use tidegate_sdk::{Batch, Error};

use super::options::{Compression, SinkOptions};
use super::pack::{begins_like, pack, whole_length};
use super::rotate;
use crate::failure::failed;

/// One file that events are appended to. It holds whole events up to `length`; what a failed write has put
/// behind that is cut off before the next one.
pub(crate) struct Target {
    path: PathBuf,
    /// `None` after a failure: the next write opens the file anew.
    file: Option<File>,
    length: u64,
    born: SystemTime,
    /// Whether it is a file on a disk, and not a device or a pipe.
    regular: bool,
    /// Whether the file at `path` is known to end at `length`, but for what a failed write has left.
    known: bool,
}

/// A write that ended early.
pub(crate) struct Unfinished {
    /// How many of the events are safe.
    pub(crate) done: usize,
    pub(crate) error: Error,
}

impl Target {
    /// What is wrong with the file at `path`, whose folder is there, if it cannot be written. It stays as it
    /// is: another process may be writing to it.
    pub(crate) fn probe(path: &Path, options: &SinkOptions) -> Result<(), Error> {
        let file = OpenOptions::new().read(true).create(true).append(true).open(path);
        let fits = file.and_then(|file| match options.compress {
            Some(compression) if file.metadata()?.is_file() => check_packing(&file, compression),
            _ => Ok(()),
        });
        fits.map_err(|error| failed(format!("{} cannot be opened for writing", path.display()), &error))
    }

    /// The file at `path`, whose folder is there.
    pub(crate) fn open(path: &Path, options: &SinkOptions) -> Result<Self, Error> {
        let mut target = Self {
            path: path.to_owned(),
            file: None,
            length: 0,
            born: SystemTime::now(),
            regular: true,
            known: false,
        };
        target
            .reopen(options)
            .map_err(|error| failed(format!("{} cannot be opened for writing", path.display()), &error))?;
        Ok(target)
    }

    fn reopen(&mut self, options: &SinkOptions) -> io::Result<()> {
        let is_new = !self.path.exists();
        let file = OpenOptions::new().read(true).create(true).append(true).open(&self.path)?;
        let known = file.metadata()?;
        self.regular = known.is_file();
        if !self.regular {
            self.file = Some(file);
            return Ok(());
        }
        self.born = known.created().or_else(|_| known.modified()).unwrap_or(self.born);
        if self.known && known.len() >= self.length {
            // Only a failed write of this sink can have put anything there.
            file.set_len(self.length)?;
        } else {
            self.length = mend(&file, known.len(), &self.path, options)?;
        }
        if self.length == 0 {
            self.born = SystemTime::now();
        }
        if options.sync && is_new {
            rotate::sync_folder(&self.path)?;
        }
        self.known = true;
        self.file = Some(file);
        Ok(())
    }

    /// Appends these events of `batch`, and makes them durable if that is asked for.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        events: &[usize],
        options: &SinkOptions,
    ) -> Result<(), Unfinished> {
        let mut done = 0;
        while done < events.len() {
            self.look(options).map_err(|error| {
                let what = format!("{} cannot be opened for writing", self.path.display());
                Unfinished { done, error: failed(what, &error) }
            })?;
            let rest = &events[done..];
            let count = self.fitting(batch, rest, options);
            self.append_some(batch, &rest[..count], options).map_err(|error| Unfinished { done, error })?;
            done += count;
        }
        Ok(())
    }

    /// Empties the file.
    pub(crate) fn empty(&mut self, options: &SinkOptions) -> Result<(), Error> {
        let emptied = self.look(options).and_then(|()| match &self.file {
            Some(file) if self.regular => file.set_len(0),
            _ => Ok(()),
        });
        self.length = 0;
        self.born = SystemTime::now();
        emptied.map_err(|error| failed(format!("{} cannot be emptied", self.path.display()), &error))
    }

    /// Whether nothing has to be cut off before the next write.
    pub(crate) fn is_sound(&self) -> bool {
        self.file.is_some()
    }

    /// Makes sure that the open file is still the one at the path: something else may have moved, deleted or
    /// truncated it.
    fn look(&mut self, options: &SinkOptions) -> io::Result<()> {
        let Some(file) = &self.file else { return self.reopen(options) };
        if !self.regular {
            return Ok(());
        }
        let open = file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => {
                self.length = open.len();
                Ok(())
            }
            _ => {
                self.known = false;
                self.length = 0;
                self.reopen(options)
            }
        }
    }

    /// How many of the events go into the file before it is sealed; at least one.
    fn fitting(&self, batch: &Batch, events: &[usize], options: &SinkOptions) -> usize {
        let limit = options.rotate.and_then(|rotate| rotate.size);
        let (Some(limit), None) = (limit, options.compress) else { return events.len() };
        // A file that is full is sealed before the next write, so that one begins a new file.
        let mut length = if self.is_due(batch, events[0], options) { 0 } else { self.length };
        let fits = |event: &&usize| {
            length += batch.payload(**event).len() as u64 + 1;
            length <= limit.bytes()
        };
        events.iter().take_while(fits).count().max(1)
    }

    /// Whether the file is to be sealed before `event` is written.
    fn is_due(&self, batch: &Batch, event: usize, options: &SinkOptions) -> bool {
        let Some(rotate) = options.rotate else { return false };
        if self.length == 0 || !self.regular {
            return false;
        }
        // How small an event becomes is known only once it is compressed.
        let more = if options.compress.is_some() { 1 } else { batch.payload(event).len() as u64 + 1 };
        let too_large = rotate.size.is_some_and(|size| self.length + more > size.bytes());
        let too_old = |every: tidegate_sdk::Duration| self.born.elapsed().is_ok_and(|age| age >= *every);
        too_large || rotate.every.is_some_and(too_old)
    }

    fn append_some(&mut self, batch: &Batch, events: &[usize], options: &SinkOptions) -> Result<(), Error> {
        let problem = |what: &str, path: &Path, error: &io::Error| {
            failed(format!("{} cannot be {what}", path.display()), error)
        };
        if self.is_due(batch, events[0], options) {
            self.seal(options).map_err(|error| problem("sealed", &self.path, &error))?;
        }
        let bytes = pack(batch, events, options.compress)
            .map_err(|error| problem("compressed", &self.path, &error))?;
        let Some(mut file) = self.file.as_ref() else {
            return Err(Error::retry(format!("{} is not open", self.path.display())));
        };
        if let Err(error) = file.write_all(&bytes) {
            self.take_back();
            return Err(problem("written", &self.path, &error));
        }
        if options.sync
            && self.regular
            && let Err(error) = file.sync_data()
        {
            // The kernel may have dropped the data and marked it clean, so this descriptor would report
            // success the next time. The file is opened anew, and what was written now counts as not written.
            self.take_back();
            self.file = None;
            return Err(problem("made durable", &self.path, &error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what a failed write has left. If that fails too, opening the file anew does it.
    fn take_back(&mut self) {
        let cut = self.file.as_ref().map(|file| file.set_len(self.length));
        if self.regular && !matches!(cut, Some(Ok(()))) {
            self.file = None;
        }
    }

    fn seal(&mut self, options: &SinkOptions) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_data()?;
        }
        let keep = options.rotate.and_then(|rotate| rotate.keep);
        rotate::seal(&self.path, Timestamp::now(), keep)?;
        self.known = false;
        self.length = 0;
        self.born = SystemTime::now();
        self.reopen(options)
    }
}

fn check_packing(file: &File, compression: Compression) -> io::Result<()> {
    match begins_like(file, compression)? {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is there already and not compressed as `compress` says",
        )),
    }
}

/// Makes a file that was there before ready to be appended to; returns its length then.
pub(crate) fn mend(file: &File, length: u64, path: &Path, options: &SinkOptions) -> io::Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    if let Some(compression) = options.compress {
        check_packing(file, compression)?;
        let whole = whole_length(file, compression)?;
        if whole < length {
            let name = path.display();
            tracing::warn!(
                "{name} ended in the middle of an archive member; {} bytes were cut off",
                length - whole
            );
            file.set_len(whole)?;
        }
        return Ok(whole);
    }
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    if last == *b"\n" {
        return Ok(length);
    }
    let mut end = file;
    end.write_all(b"\n")?;
    Ok(length + 1)
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::batch;

    use super::*;

    #[test]
    fn what_a_failed_write_has_left_is_cut_off() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("out");
        let options: SinkOptions =
            serde_json::from_value(serde_json::json!({ "path": path.to_str().unwrap() })).unwrap();
        let mut target = Target::open(&path, &options).unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        assert!(target.append(&batch(["1"]), &[0], &options).is_ok());
        target.file.as_ref().unwrap().write_all(b"hal").unwrap();
        target.take_back();
        assert_eq!(text(), "1\n");
        // Where that fails too, the next write does it.
        target.file.take().unwrap().write_all(b"hal").unwrap();
        assert!(target.append(&batch(["2"]), &[0], &options).is_ok());
        assert_eq!(text(), "1\n2\n");
    }
}
