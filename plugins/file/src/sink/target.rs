//! File that events are appended to.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::OFlags;
use tidegate_sdk::{Batch, Error};

use super::encode::{begins_like, encode, whole_length};
use super::location::Location;
use super::options::{Compression, SinkOptions};
use super::rotate;
use super::route::Refused;
use super::special::{Special, is_special};
use crate::failure::failed;

const APPEND: OFlags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::APPEND);

/// File that events are appended to. It holds whole events up to `length`. Bytes of a failed write after it are cut off
/// before the next one.
pub(crate) struct Target {
    location: Location,
    /// `None` after a failure: the next write opens the file again.
    file: Option<File>,
    /// Pipe or device in place of a file.
    special: Option<Special>,
    length: u64,
    created: SystemTime,
    /// Tells whether the file at the path surely ends at `length`, except for bytes of a failed write.
    known: bool,
}

/// Write that ended early.
pub(crate) struct Unfinished {
    /// Number of events that are delivered.
    pub(crate) done: usize,
    pub(crate) why: Refused,
}

impl Target {
    /// Checks that the file can be written. It is not changed: another process may be writing to it.
    pub(crate) fn probe(location: &Location, options: &SinkOptions) -> Result<(), Refused> {
        let folder = location.make_folder().map_err(|error| Refused::folder(location, &error))?;
        if let Ok(known) = folder.known()
            && is_special(location, known.kind, options).map_err(Refused::Error)?
        {
            // Closing a pipe would end its reader.
            return Ok(());
        }
        let file = folder.open(APPEND);
        let fits = file.and_then(|file| match options.compress {
            Some(compression) => check_compression(&file, compression),
            None => Ok(()),
        });
        fits.map_err(|error| Refused::file(location, &error))
    }

    /// Opens the file at the location. Its folder is created if it does not exist.
    pub(crate) fn open(location: Location, options: &SinkOptions) -> Result<Self, Refused> {
        let mut target =
            Self { location, file: None, special: None, length: 0, created: SystemTime::now(), known: false };
        target.reopen(options)?;
        Ok(target)
    }

    fn reopen(&mut self, options: &SinkOptions) -> Result<(), Refused> {
        let location = &self.location;
        let folder = location.make_folder().map_err(|error| Refused::folder(location, &error))?;
        let there = folder.known();
        if let Ok(known) = there
            && is_special(location, known.kind, options).map_err(Refused::Error)?
        {
            self.special = Some(Special::open(location, &folder, known)?);
            return Ok(());
        }
        let is_new = matches!(&there, Err(error) if error.kind() == ErrorKind::NotFound);
        let file = folder.open(APPEND).map_err(|error| Refused::file(location, &error))?;
        self.special = None;
        let opened = self
            .take_over(&file, options)
            .and_then(|()| if options.sync && is_new { folder.sync() } else { Ok(()) });
        opened.map_err(|error| Refused::file(&self.location, &error))?;
        self.known = true;
        self.file = Some(file);
        Ok(())
    }

    /// Finds the end of the file, and makes it end with a whole event.
    fn take_over(&mut self, file: &File, options: &SinkOptions) -> io::Result<()> {
        let known = file.metadata()?;
        if !known.is_file() {
            return Err(io::Error::other("it was replaced at the same time"));
        }
        self.created = known.created().or_else(|_| known.modified()).unwrap_or(self.created);
        if self.known && known.len() >= self.length {
            // Only a failed write of this sink can have written more.
            file.set_len(self.length)?;
        } else {
            self.length = make_appendable(file, known.len(), self.location.path(), options)?;
        }
        if self.length == 0 {
            self.created = SystemTime::now();
        }
        Ok(())
    }

    /// Appends these events of `batch`, and makes them durable with `sync`.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        events: &[usize],
        options: &SinkOptions,
    ) -> Result<(), Unfinished> {
        let mut done = 0;
        while done < events.len() {
            self.look(options).map_err(|why| Unfinished { done, why })?;
            let rest = &events[done..];
            if let Some(special) = &mut self.special {
                let name = self.location.path().display().to_string();
                let written = special.write(batch, rest, &name);
                return written
                    .map_err(|(more, error)| Unfinished { done: done + more, why: Refused::Error(error) });
            }
            let count = self.fitting(batch, rest, options);
            let appended = self.append_some(batch, &rest[..count], options);
            appended.map_err(|error| Unfinished { done, why: Refused::Error(error) })?;
            done += count;
        }
        Ok(())
    }

    /// Empties the file.
    pub(crate) fn empty(&mut self, options: &SinkOptions) -> Result<(), Refused> {
        self.look(options)?;
        let emptied = self.file.as_ref().map_or(Ok(()), |file| file.set_len(0));
        self.length = 0;
        self.created = SystemTime::now();
        emptied.map_err(|error| {
            let path = self.location.path().display();
            Refused::Error(failed(format!("{path} cannot be emptied"), &error))
        })
    }

    /// Tells whether nothing must be cut off before the next write.
    pub(crate) fn is_sound(&self) -> bool {
        self.file.is_some() || self.special.is_some()
    }

    /// Opens the file again if another process has moved, deleted or replaced it.
    fn look(&mut self, options: &SinkOptions) -> Result<(), Refused> {
        let named = self.location.known();
        if let Some(special) = &self.special {
            return match named {
                Ok(known) if special.is(known) => Ok(()),
                _ => {
                    self.special = None;
                    self.reopen(options)
                }
            };
        }
        let Some(file) = &self.file else { return self.reopen(options) };
        let open = file.metadata().map_err(|error| Refused::file(&self.location, &error))?;
        match named {
            Ok(named) if (named.device, named.inode) == (open.dev(), open.ino()) => {
                self.length = open.len();
                Ok(())
            }
            _ => {
                self.known = false;
                self.file = None;
                self.length = 0;
                self.reopen(options)
            }
        }
    }

    /// Returns the number of events that fit into the file before it is sealed; at least one.
    fn fitting(&self, batch: &Batch, events: &[usize], options: &SinkOptions) -> usize {
        let limit = options.rotate.and_then(|rotate| rotate.size);
        let (Some(limit), None) = (limit, options.compress) else { return events.len() };
        // A full file is sealed before the next write, which begins a new file.
        let mut length = if self.is_due(batch, events[0], options) { 0 } else { self.length };
        let fits = |event: &&usize| {
            length += batch.payload(**event).len() as u64 + 1;
            length <= limit.bytes()
        };
        events.iter().take_while(fits).count().max(1)
    }

    /// Tells whether the file must be sealed before `event` is written.
    fn is_due(&self, batch: &Batch, event: usize, options: &SinkOptions) -> bool {
        let Some(rotate) = options.rotate else { return false };
        if self.length == 0 {
            return false;
        }
        // The compressed size of an event is not known yet.
        let more = if options.compress.is_some() { 1 } else { batch.payload(event).len() as u64 + 1 };
        let too_large = rotate.size.is_some_and(|size| self.length + more > size.bytes());
        let too_old = |every: tidegate_sdk::Duration| self.created.elapsed().is_ok_and(|age| age >= *every);
        too_large || rotate.every.is_some_and(too_old)
    }

    fn append_some(&mut self, batch: &Batch, events: &[usize], options: &SinkOptions) -> Result<(), Error> {
        let problem = |what: &str, path: &Path, error: &io::Error| {
            failed(format!("{} cannot be {what}", path.display()), error)
        };
        if self.is_due(batch, events[0], options) {
            self.seal(options)?;
        }
        let bytes = encode(batch, events, options.compress)
            .map_err(|error| problem("compressed", self.location.path(), &error))?;
        let Some(mut file) = self.file.as_ref() else {
            return Err(Error::retry(format!("{} is not open", self.location.path().display())));
        };
        if let Err(error) = file.write_all(&bytes) {
            self.take_back();
            return Err(problem("written", self.location.path(), &error));
        }
        if options.sync
            && let Err(error) = file.sync_data()
        {
            // The kernel may have dropped the data and marked it clean, so this descriptor would report success the next
            // time. The file is opened again, and these events count as not written.
            self.take_back();
            self.file = None;
            return Err(problem("made durable", self.location.path(), &error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off the bytes of a failed write. If that fails too, the next opening does it.
    fn take_back(&mut self) {
        let cut = self.file.as_ref().map(|file| file.set_len(self.length));
        if !matches!(cut, Some(Ok(()))) {
            self.file = None;
        }
    }

    fn seal(&mut self, options: &SinkOptions) -> Result<(), Error> {
        let problem =
            |error: io::Error| failed(format!("{} cannot be sealed", self.location.path().display()), &error);
        if let Some(file) = self.file.take() {
            file.sync_data().map_err(problem)?;
        }
        let keep = options.rotate.and_then(|rotate| rotate.keep);
        let sealed = self.location.folder().and_then(|folder| rotate::seal(&folder, Timestamp::now(), keep));
        sealed.map_err(problem)?;
        self.known = false;
        self.length = 0;
        self.created = SystemTime::now();
        self.reopen(options).map_err(Refused::into_error)
    }
}

fn check_compression(file: &File, compression: Compression) -> io::Result<()> {
    if begins_like(file, compression)? {
        return Ok(());
    }
    let reason = "it exists and is not compressed as `compress` says; move it away, or change `compress`";
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Makes an existing file ready for appending. Returns its length.
pub(crate) fn make_appendable(
    file: &File,
    length: u64,
    path: &Path,
    options: &SinkOptions,
) -> io::Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    if let Some(compression) = options.compress {
        check_compression(file, compression)?;
        let whole = whole_length(file, compression)?;
        if whole < length {
            let name = path.display();
            tracing::warn!(
                "{name} ended within a member of the archive; {} bytes were cut off",
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
    fn bytes_of_a_failed_write_are_cut_off() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("out");
        let options: SinkOptions =
            serde_json::from_value(serde_json::json!({ "path": path.to_str().unwrap() })).unwrap();
        let location = Location::new(&options.path, path.to_str().unwrap());
        let mut target = Target::open(location, &options).ok().unwrap();
        let text = || std::fs::read_to_string(&path).unwrap();
        assert!(target.append(&batch(["1"]), &[0], &options).is_ok());
        target.file.as_ref().unwrap().write_all(b"hal").unwrap();
        target.take_back();
        assert_eq!(text(), "1\n");
        // If that fails too, the next write does it.
        target.file.take().unwrap().write_all(b"hal").unwrap();
        assert!(target.append(&batch(["2"]), &[0], &options).is_ok());
        assert_eq!(text(), "1\n2\n");
    }
}
