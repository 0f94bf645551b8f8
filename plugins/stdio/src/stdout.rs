//! The sink `stdout`.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, LazyLock};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{Batch, Cx, Delivery, Error, Exclusive, Resource, Sink, async_trait};
use tokio::sync::Mutex;

use crate::colour;

#[cfg(test)]
mod tests;

/// Bytes of one write to a reader that may be slow. A pipe that is ready takes this many (PIPE_BUF) without blocking, so the
/// thread can always be stopped.
const PIECE: usize = 4096;

/// Lock of standard output for all sinks of the process. It holds true if the last text ends in the middle of a line.
///
/// A sink writes a whole batch before the next one does, so lines do not mix.
static TORN: LazyLock<Arc<Mutex<bool>>> = LazyLock::new(Arc::default);

/// Writes each event as one line to standard output. Several of these sinks take turns, batch by batch.
///
/// Standard output is flushed after each batch. If its reader closes it (`| head`), the pipeline fails with that reason. An
/// event that has line ends is written as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutOptions {
    /// The use of colours for JSON. `"auto"` (the default): on a terminal, unless the environment variable `NO_COLOR` is set.
    /// `"always"` and `"never"` do not depend on that. Events that are not JSON are never coloured.
    pub color: Color,
}

/// Use of colours for JSON.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Sink that writes to standard output.
pub(crate) struct Stdout {
    color: Color,
    /// Output of a test; otherwise standard output is written.
    given: Option<OwnedFd>,
    output: Option<Arc<Output>>,
    /// Write end of a pipe. When it is dropped with the sink, a write that is blocked by its reader ends.
    running: Option<PipeWriter>,
    /// Lock of the output. It holds true if the output ends in the middle of a line.
    torn: Arc<Mutex<bool>>,
    /// Text of one batch. Its memory is used again.
    text: Vec<u8>,
}

struct Output {
    descriptor: OwnedFd,
    stop: PipeReader,
    color: bool,
    is_terminal: bool,
    piece: usize,
}

/// Result of a write.
struct Written {
    text: Vec<u8>,
    bytes: usize,
    result: Result<(), Errno>,
}

impl Stdout {
    pub(crate) fn new(options: &StdoutOptions) -> Self {
        let torn = Arc::clone(&TORN);
        Self { color: options.color, given: None, output: None, running: None, torn, text: Vec::new() }
    }

    #[cfg(test)]
    fn of(output: OwnedFd, color: Color) -> Self {
        Self { given: Some(output), torn: Arc::default(), ..Self::new(&StdoutOptions { color }) }
    }
}

#[async_trait]
impl Sink for Stdout {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        if self.output.is_some() {
            return Ok(());
        }
        let unusable = |error: io::Error| Error::fatal(format!("standard output cannot be written: {error}"));
        let descriptor = match self.given.take() {
            Some(descriptor) => descriptor,
            None => io::stdout().as_fd().try_clone_to_owned().map_err(unusable)?,
        };
        let (stop, running) = io::pipe().map_err(unusable)?;
        let is_terminal = rustix::termios::isatty(&descriptor);
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let status = rustix::fs::fstat(&descriptor).map_err(|error| unusable(error.into()))?;
        let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        let piece = if is_file { usize::MAX } else { PIECE };
        self.output = Some(Arc::new(Output { descriptor, stop, color, is_terminal, piece }));
        self.running = Some(running);
        Ok(())
    }

    /// Shares standard output with the other sinks of this kind.
    fn exclusive(&self) -> Vec<Exclusive> {
        vec![Exclusive::shared("", Resource::stdout())]
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let Some(output) = self.output.clone() else {
            return Err(Error::fatal("standard output is not open"));
        };
        let mut torn = Arc::clone(&self.torn).lock_owned().await;
        let (events, text) = (batch.clone(), std::mem::take(&mut self.text));
        let is_terminal = output.is_terminal;
        // The thread keeps the lock, because it may outlive this call.
        let written = cx
            .spawn_blocking(move || output.write(&events, text, &mut torn))
            .await
            .map_err(|_| Error::fatal("the thread that writes standard output failed"))?;
        let delivery = Self::delivery(batch, &written, is_terminal);
        self.text = written.text;
        delivery
    }
}

impl Stdout {
    /// Returns the delivery, with the events that are not written.
    fn delivery(batch: &Batch, written: &Written, is_terminal: bool) -> Result<Delivery, Error> {
        let error = match written.result {
            Ok(()) => return Ok(Delivery::complete()),
            Err(Errno::PIPE) => {
                return Err(Error::fatal("standard output was closed: its reader has ended"));
            }
            // A write to a terminal fails like this when its window or connection was closed.
            Err(Errno::IO) if is_terminal => {
                return Err(Error::fatal("standard output was closed: its terminal is gone"));
            }
            Err(Errno::FBIG) => {
                Error::retry("standard output cannot be written: its file is as large as `ulimit -f` allows")
            }
            Err(Errno::CANCELED) => return Err(Error::fatal("standard output is not open any more")),
            Err(errno) => {
                let error = io::Error::from(errno);
                Error::retry(format!("standard output cannot be written: {error}"))
            }
        };
        let first = first_missing(batch, &written.text, written.bytes);
        let mut delivery = Delivery::complete();
        delivery.retry(first..batch.len(), error);
        Ok(delivery)
    }
}

/// Returns the first event whose line is not wholly within the first `bytes` of `text`. Lines are counted from the end,
/// because colours and the line end of a torn line make the text longer than the events.
fn first_missing(batch: &Batch, text: &[u8], bytes: usize) -> usize {
    let line_ends = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    let mut missing = line_ends(&text[bytes..]);
    let mut event = batch.len();
    while missing > 0 && event > 0 {
        event -= 1;
        missing = missing.saturating_sub(1 + line_ends(batch.payload(event)));
    }
    event
}

impl Output {
    fn write(&self, batch: &Batch, mut text: Vec<u8>, torn: &mut bool) -> Written {
        text.clear();
        if *torn {
            text.push(b'\n');
        }
        text.reserve(batch.bytes() + batch.len());
        for payload in batch.payloads() {
            if self.color {
                colour::paint(payload, &mut text);
            } else {
                text.extend_from_slice(payload);
            }
            text.push(b'\n');
        }
        let mut bytes = 0;
        let result = self.write_all(&text, &mut bytes);
        if bytes > 0 {
            *torn = !text[..bytes].ends_with(b"\n");
        }
        Written { text, bytes, result }
    }

    fn write_all(&self, text: &[u8], written: &mut usize) -> Result<(), Errno> {
        while *written < text.len() {
            let rest = &text[*written..];
            if self.piece < usize::MAX {
                self.wait()?;
            }
            match rustix::io::write(&self.descriptor, &rest[..rest.len().min(self.piece)]) {
                Ok(count) => *written += count,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until something can be written.
    fn wait(&self) -> Result<(), Errno> {
        loop {
            let mut both =
                [PollFd::new(&self.descriptor, PollFlags::OUT), PollFd::new(&self.stop, PollFlags::IN)];
            match poll(&mut both, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
                Ok(_) if !both[1].revents().is_empty() => return Err(Errno::CANCELED),
                Ok(_) if !both[0].revents().is_empty() => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}
