//! The source `stdin`.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};

use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::framing::{Elements, Lines};
use tidegate_sdk::{
    BATCH_BYTES, Batch, BatchBuilder, Cx, Error, Exclusive, Resource, Source, SourceBatch, SourceRejection,
    async_trait,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

#[cfg(test)]
mod tests;

/// How much one read asks for: the default capacity of a pipe, which is all that a pipe can give at once.
const READ: usize = 64 << 10;

/// How many batches may wait for the pipeline while the next one is being read.
const AHEAD: usize = 2;

/// Reads events from standard input: a pipe, a file or a terminal. The source ends at the end of the input.
///
/// What is ready leaves at once, so a line that is typed goes through the pipeline when Enter is pressed;
/// under load batches grow to 1 MiB. Standard input cannot be read twice: what was in flight when the process
/// was killed is lost.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdinOptions {
    /// How the bytes become events. `"lines"` (the default): each line is one event, without its line end
    /// (`\n` or `\r\n`); empty lines are skipped. `"json_array"`: the input is one JSON array and each of
    /// its elements is one event; the array is streamed, never held whole.
    pub decode: Decode,
}

/// How the bytes of standard input become events.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// Each line is one event.
    #[default]
    Lines,
    /// The input is one JSON array; each element is one event.
    JsonArray,
}

/// The source: a thread reads, [`Source::next`] hands on what it has read.
pub(crate) struct Stdin {
    decode: Decode,
    /// What to read; standard input, if nothing else was given.
    input: Option<OwnedFd>,
    reading: Option<Reading>,
}

struct Reading {
    batches: Receiver<Result<SourceBatch, Error>>,
    thread: JoinHandle<()>,
    /// Dropping it wakes the thread and makes it end.
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
        let mut reader = Reader { input, stop, framing, sender, scratch: vec![0; READ] };
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

    /// Two readers would tear each other's lines apart.
    fn exclusive(&self) -> Vec<Exclusive> {
        vec![Exclusive::new("", Resource::stdin())]
    }
}

/// What the reading thread owns.
struct Reader {
    input: OwnedFd,
    stop: PipeReader,
    framing: Framing,
    sender: Sender<Result<SourceBatch, Error>>,
    scratch: Vec<u8>,
}

/// What a wait for input came to.
#[derive(PartialEq)]
enum Ready {
    Input,
    Nothing,
    Stop,
}

/// Why reading ended.
enum End {
    Input,
    Stop,
}

impl Reader {
    fn run(&mut self) {
        if let Err(error) = self.read_to_end() {
            // If nobody listens any more, there is nobody to tell.
            let _ = self.sender.blocking_send(Err(error));
        }
    }

    fn read_to_end(&mut self) -> Result<(), Error> {
        loop {
            let end = self.fill()?;
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

    /// Whether there is something to read; waits for it unless `at_once`.
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

/// Bytes to events, either way.
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

    /// The next batch of what was read; `None` if more must be read first.
    fn cut(&mut self) -> Result<Option<SourceBatch>, Error> {
        loop {
            let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
            let settled = match self {
                Self::Lines(lines) => lines.cut(&mut builder, &mut rejected),
                Self::Elements(elements) => {
                    elements.cut(&mut builder, &mut rejected).map_err(not_an_array)?
                }
            };
            let batch = source_batch(builder, rejected);
            if batch.is_some() || settled == 0 {
                return Ok(batch);
            }
        }
    }

    /// What is left at the end of the input.
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

    /// What is left when the pipeline stops in the middle of the input: half an event is none.
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
