//! Named pipes and devices in place of files: they have no length, and their reader may be slow or absent.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use tidegate_sdk::{Batch, Error};

use super::location::{Folder, Known, Location};
use super::options::SinkOptions;
use super::route::Refused;
use crate::failure::failed;

/// Time without progress of the reader after which the component is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// Open pipe or device.
pub(crate) struct Special {
    file: File,
    device: u64,
    inode: u64,
    /// Line of which the reader has only a part, and the rest of it.
    torn: Option<(Vec<u8>, Vec<u8>)>,
}

/// Tells whether a file of this kind is a pipe or device.
///
/// # Errors
/// If nothing can be written to it.
pub(crate) fn is_special(location: &Location, kind: FileType, options: &SinkOptions) -> Result<bool, Error> {
    let path = location.path().display();
    match kind {
        FileType::Fifo | FileType::CharacterDevice if options.compress.is_some() => Err(
            Error::misconfigured(format!("{path} is a pipe or device, for which `compress` is not possible")),
        ),
        FileType::Fifo | FileType::CharacterDevice => Ok(true),
        FileType::Socket => Err(Error::misconfigured(format!("{path} is a socket, not a file"))),
        FileType::BlockDevice => Err(Error::misconfigured(format!("{path} is a disk, not a file"))),
        _ => Ok(false),
    }
}

impl Special {
    /// Opens the pipe or device.
    ///
    /// # Errors
    /// Retryable if the pipe has no reader.
    pub(crate) fn open(location: &Location, folder: &Folder, known: Known) -> Result<Self, Refused> {
        match folder.open(OFlags::WRONLY | OFlags::APPEND) {
            Ok(file) => Ok(Self { file, device: known.device, inode: known.inode, torn: None }),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
                Err(Refused::Error(Error::retry(format!(
                    "the pipe {} has no reader; the sink waits for one",
                    location.path().display()
                ))))
            }
            Err(error) => Err(Refused::file(location, &error)),
        }
    }

    pub(crate) fn is(&self, known: Known) -> bool {
        (self.device, self.inode) == (known.device, known.inode)
    }

    /// Writes the events, each with its line end. An error comes with the number of events that are written whole.
    pub(crate) fn write(
        &mut self,
        batch: &Batch,
        events: &[usize],
        name: &str,
    ) -> Result<(), (usize, Error)> {
        let mut done = 0;
        if let Some((line, rest)) = self.torn.take() {
            // The reader has the beginning of the line, so it gets the end, even if the event is not in this batch.
            let written = self.write_all(&rest);
            if let Err((written, error)) = written {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.torn = Some((line, rest[written..].to_vec()));
                }
                return Err((0, problem(name, &error)));
            }
            done = usize::from(
                events.first().is_some_and(|event| batch.payload(*event) == &line[..line.len() - 1]),
            );
        }
        let mut bytes = Vec::new();
        for event in &events[done..] {
            bytes.extend_from_slice(batch.payload(*event));
            bytes.push(b'\n');
        }
        let Err((mut written, error)) = self.write_all(&bytes) else { return Ok(()) };
        for event in &events[done..] {
            let length = batch.payload(*event).len() + 1;
            if written < length {
                break;
            }
            written -= length;
            done += 1;
        }
        if written > 0 && error.kind() != io::ErrorKind::BrokenPipe {
            let line = [batch.payload(events[done]), b"\n"].concat();
            self.torn = Some((line.clone(), line[written..].to_vec()));
        }
        Err((done, problem(name, &error)))
    }

    /// Writes all bytes, and waits for the reader while it makes progress. An error comes with the number of bytes that were
    /// written.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait().map_err(|error| (written, error))?;
                }
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.file, PollFlags::OUT)];
        let patience =
            Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: PATIENCE.subsec_nanos().into() };
        match poll(&mut ready, Some(&patience)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn problem(name: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            Error::retry(format!("the reader of {name} takes nothing; the sink waits for it"))
        }
        io::ErrorKind::BrokenPipe => {
            Error::retry(format!("the reader of {name} is gone; the sink waits for the next one"))
        }
        _ => failed(format!("{name} cannot be written"), error),
    }
}
