//! A named pipe or a device in place of a file: it has no length, and who reads it may be slow or absent.

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

/// How long a reader may take nothing until the component is not ready any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// An open pipe or device.
pub(crate) struct Special {
    file: File,
    device: u64,
    inode: u64,
    /// The line of which the reader has a part only, and what is left of it.
    torn: Option<(Vec<u8>, Vec<u8>)>,
}

/// Whether events are written to a pipe or device where this is.
///
/// # Errors
/// If it is something that nothing can be written to.
pub(crate) fn is_special(location: &Location, kind: FileType, options: &SinkOptions) -> Result<bool, Error> {
    let path = location.path().display();
    match kind {
        FileType::Fifo | FileType::CharacterDevice if options.compress.is_some() => Err(
            Error::misconfigured(format!("{path} is a pipe or device, for which `compress` is not possible")),
        ),
        FileType::Fifo | FileType::CharacterDevice => Ok(true),
        FileType::Socket => Err(Error::misconfigured(format!("{path} is a socket, and not a file"))),
        FileType::BlockDevice => Err(Error::misconfigured(format!("{path} is a disk, and not a file"))),
        _ => Ok(false),
    }
}

impl Special {
    /// # Errors
    /// To be tried again if nobody reads the pipe.
    pub(crate) fn open(location: &Location, folder: &Folder, known: Known) -> Result<Self, Refused> {
        match folder.open(OFlags::WRONLY | OFlags::APPEND) {
            Ok(file) => Ok(Self { file, device: known.device, inode: known.inode, torn: None }),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
                Err(Refused::Error(Error::retry(format!(
                    "nobody reads the pipe {}; waiting until somebody does",
                    location.path().display()
                ))))
            }
            Err(error) => Err(Refused::file(location, &error)),
        }
    }

    pub(crate) fn is(&self, known: Known) -> bool {
        (self.device, self.inode) == (known.device, known.inode)
    }

    /// Writes the events, each with its line end. Returns how many are written whole, and what ended it.
    pub(crate) fn write(
        &mut self,
        batch: &Batch,
        events: &[usize],
        name: &str,
    ) -> Result<(), (usize, Error)> {
        let mut done = 0;
        if let Some((line, rest)) = self.torn.take() {
            // The reader has its beginning, so it gets its end, whatever has become of the event.
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

    /// Writes all of it, waiting for the reader as long as it takes something now and then. On an error, how much was
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
            Error::retry(format!("whoever reads {name} takes nothing; waiting until that changes"))
        }
        io::ErrorKind::BrokenPipe => {
            Error::retry(format!("whoever read {name} is gone; waiting for the next one"))
        }
        _ => failed(format!("{name} cannot be written"), error),
    }
}
