//! The source `stdin`.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};

use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::framing::{Elements, Format, Lines};
use tidegate_sdk::{
    BATCH_BYTES, Batch, BatchBuilder, Cx, Error, Exclusive, Resource, Source, SourceBatch, SourceRejection,
    async_trait,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

#[cfg(test)]
mod tests;

/// Bytes of one read: the default capacity of a pipe.
const READ: usize = 64 << 10;

/// Most batches that wait for the pipeline while the next one is read.
const AHEAD: usize = 2;

/// Reads events from standard input: a pipe, a file or a terminal. The source ends at the end of the input.
///
/// Events are sent as soon as they are read, so a typed line passes through the pipeline when Enter is pressed. Under load,
/// batches grow to 1 MiB. Standard input cannot be read twice: events that are in flight when the process is killed are
/// lost.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdinOptions {
    /// The division of the bytes into events. `"lines"` (the default): each line is one event, without its line end (`\n` or
    /// `\r\n`); empty lines are skipped. `"json_array"`: the input is one JSON array and each of its elements is one event;
    /// the array is streamed, never held whole.
    pub decode: Decode,
}

/// Division of the bytes of standard input into events.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// Each line is one event.
    #[default]
    Lines,
    /// The input is one JSON array; each element is one event.
    JsonArray,
}

/// Source that reads in a thread. [`Source::next`] returns the batches of the thread.
pub(crate) struct Stdin {
    decode: Decode,
    /// Input of a test; otherwise standard input is read.
    input: Option<OwnedFd>,
    reading: Option<Reading>,
}

struct Reading {
    batches: Receiver<Result<SourceBatch, Error>>,
    thread: JoinHandle<()>,
    /// Write end of a pipe. When it is dropped, the thread wakes and ends.
    running: Option<PipeWriter>,
}

impl Stdin {
    pub(crate) fn new(options: &StdinOptions) -> Self {
        Self { decode: options.decode, input: None, reading: None }
    }

    #[cfg(test)]
    fn of(input: OwnedFd, decode: Decode) -> Self {
        Self { decode, input: Some(input), reading: None }
    }
}

#[async_trait]
impl Source for Stdin {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if self.reading.is_some() {
            return Ok(());
        }
        let unusable = |error: io::Error| Error::fatal(format!("standard input cannot be read: {error}"));
        let input = match self.input.take() {
            Some(input) => input,
            None => io::stdin().as_fd().try_clone_to_owned().map_err(unusable)?,
        };
        let (stop, running) = io::pipe().map_err(unusable)?;
        let (sender, batches) = channel(AHEAD);
        let framing = Framing::new(self.decode, cx.event_size());
        let mut reader = Reader { input, stop, framing, sender, scratch: vec![0; READ], recognised: false };
        let thread = cx.spawn_thread("stdin", move || reader.run()).map_err(unusable)?;
        self.reading = Some(Reading { batches, thread, running: Some(running) });
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let next = tokio::select! {
            next = reading.batches.recv() => next,
            () = cx.stopping(), if reading.running.is_some() => {
                reading.running = None;
                reading.batches.recv().await
            }
        };
        if let Some(next) = next {
            return next.map(Some);
        }
        let ended = match self.reading.take() {
            Some(reading) => reading.thread.await,
            None => Ok(()),
        };
        ended.map(|()| None).map_err(|_| Error::fatal("the thread that reads standard input failed"))
    }

    /// Claims standard input, because two readers would split each other's lines.
    fn exclusive(&self) -> Vec<Exclusive> {
        vec![Exclusive::new("", Resource::stdin())]
    }
}

/// State of the reading thread.
struct Reader {
    input: OwnedFd,
    stop: PipeReader,
    framing: Framing,
    sender: Sender<Result<SourceBatch, Error>>,
    scratch: Vec<u8>,
    /// Tells whether the beginning of the input is known to be text, or data that passes as lines.
    recognised: bool,
}

/// Result of a wait for input.
#[derive(PartialEq)]
enum Ready {
    Input,
    Nothing,
    Stop,
}

/// Reason why reading ended.
enum End {
    Input,
    Stop,
}

impl Reader {
    fn run(&mut self) {
        if let Err(error) = self.read_to_end() {
            // The source may be gone.
            let _ = self.sender.blocking_send(Err(error));
        }
    }

    fn read_to_end(&mut self) -> Result<(), Error> {
        loop {
            let end = self.fill()?;
            if !self.recognised && !self.recognise(end.is_some())? {
                continue;
            }
            while let Some(batch) = self.framing.cut()? {
                if self.sender.blocking_send(Ok(batch)).is_err() {
                    return Ok(());
                }
            }
            let last = match end {
                None => continue,
                Some(End::Input) => self.framing.finish()?,
                Some(End::Stop) => self.framing.abandon(),
            };
            if let Some(last) = last {
                let _ = self.sender.blocking_send(Ok(last));
            }
            return Ok(());
        }
    }

    /// Checks the format of the input by its first bytes. False if too little was read to know it.
    ///
    /// # Errors
    /// If the input has no lines.
    fn recognise(&mut self, is_whole: bool) -> Result<bool, Error> {
        let head = self.framing.buffer();
        self.recognised = is_whole || !(head.is_empty() || Format::may_change(head));
        let reason = match Format::recognise(head) {
            _ if !self.recognised => return Ok(false),
            Format::Plain => return Ok(true),
            Format::Foreign(reason) => reason,
            Format::Gzip => "it is compressed with gzip; decompress it first (`gzip -d`)",
            Format::Zstd => "it is compressed with zstd; decompress it first (`zstd -d`)",
        };
        Err(Error::fatal(format!("standard input has no lines: {reason}")))
    }

    /// Waits for input, then reads what is ready, up to the size of a batch.
    fn fill(&mut self) -> Result<Option<End>, Error> {
        let mut filled = 0;
        while filled < BATCH_BYTES {
            match self.wait(filled > 0)? {
                Ready::Input => {}
                Ready::Nothing => break,
                Ready::Stop => return Ok(Some(End::Stop)),
            }
            match rustix::io::read(&self.input, &mut self.scratch) {
                Ok(0) => return Ok(Some(End::Input)),
                Ok(read) => {
                    self.framing.buffer().extend_from_slice(&self.scratch[..read]);
                    filled += read;
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(Error::fatal(format!("standard input cannot be read: {error}"))),
            }
        }
        Ok(None)
    }

    /// Tells whether there is something to read, and waits for it unless `at_once` is set.
    fn wait(&self, at_once: bool) -> Result<Ready, Error> {
        let mut both = [PollFd::new(&self.input, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        let limit = at_once.then(Timespec::default);
        match poll(&mut both, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) if !both[1].revents().is_empty() => Ok(Ready::Stop),
            Ok(_) if !both[0].revents().is_empty() => Ok(Ready::Input),
            Ok(_) if at_once => Ok(Ready::Nothing),
            Ok(_) | Err(Errno::INTR) => self.wait(at_once),
            Err(error) => Err(Error::fatal(format!("standard input cannot be waited for: {error}"))),
        }
    }
}

/// Framing of the input.
enum Framing {
    Lines(Lines),
    Elements(Elements),
}

impl Framing {
    fn new(decode: Decode, limit: usize) -> Self {
        match decode {
            Decode::Lines => {
                let mut lines = Lines::new(limit);
                lines.begin_input();
                Self::Lines(lines)
            }
            Decode::JsonArray => Self::Elements(Elements::new(limit)),
        }
    }

    fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Lines(lines) => lines.buffer(),
            Self::Elements(elements) => elements.buffer(),
        }
    }

    /// Returns the next batch of the bytes that were read; `None` if more must be read first.
    fn cut(&mut self) -> Result<Option<SourceBatch>, Error> {
        loop {
            let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
            let consumed = match self {
                Self::Lines(lines) => lines.cut(&mut builder, &mut rejected),
                Self::Elements(elements) => {
                    elements.cut(&mut builder, &mut rejected).map_err(not_an_array)?
                }
            };
            let batch = source_batch(builder, rejected);
            if batch.is_some() || consumed == 0 {
                return Ok(batch);
            }
        }
    }

    /// Returns the rest at the end of the input.
    fn finish(&mut self) -> Result<Option<SourceBatch>, Error> {
        let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
        match self {
            Self::Lines(lines) => {
                lines.finish(&mut builder, &mut rejected);
            }
            Self::Elements(elements) => elements.finish().map_err(not_an_array)?,
        }
        Ok(source_batch(builder, rejected))
    }

    /// Rejects the half event that is left when the pipeline stops in the middle of the input.
    fn abandon(&mut self) -> Option<SourceBatch> {
        let half = self.buffer().split().freeze();
        if half.trim_ascii().is_empty() {
            return None;
        }
        let reason = "the pipeline stopped before the end of this event was read".to_owned();
        let rejection = SourceRejection { length: half.len() as u64, payload: half, reason };
        source_batch(Batch::builder(), vec![rejection])
    }
}

fn source_batch(builder: BatchBuilder, rejected: Vec<SourceRejection>) -> Option<SourceBatch> {
    let some = !builder.is_empty() || !rejected.is_empty();
    some.then(|| SourceBatch::from(builder.finish()).with_rejected(rejected))
}

fn not_an_array(reason: impl std::fmt::Display) -> Error {
    Error::fatal(format!("standard input cannot be decoded as a JSON array: {reason}"))
}
