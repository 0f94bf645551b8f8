//! The line protocol with a command: a line for each event, and a line back for each line.
//!
//! The protocol has no markers, so a line too many would shift every answer after it by one. Two checks keep the
//! answers in step. Both rely on one fact: a line that a command ends before the line break of its input arrives is
//! no answer to that input.
//!
//! - The first line of a batch is sent without its line break. Once the command has read that piece, it waits for
//!   more input, so it has written everything that belongs to the lines before. A line that is there now belongs to
//!   an earlier batch, or to none.
//! - The last line of a batch is sent in the same way, once the others are answered. A line that is there now is one
//!   too many within the batch.
//!
//! Only the answer to the last line of a batch can be too long without being noticed at once. The next batch, or the
//! end of the command's output, shows it, and no other event is affected. A command that reads ahead, or one made of
//! several processes, may show a line too many later; the check is then as good as the timing.

use std::ops::Range;
use std::time::Duration;

use tidegate_sdk::{Batch, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::Instant;

use crate::process::{GRACE, Process};

/// The size of one write or read, in bytes.
const PIECE: usize = 64 << 10;

/// The pieces that a full pipe holds, generously.
const PIPE_PIECES: usize = 16;

/// The most bytes of all answers to one batch, if one event may not hold more.
const ANSWERS: usize = 64 << 20;

/// The longest wait for a command to read a piece of a line. A command that takes longer is not waited for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time for which a wait keeps its thread. Most commands read within it, and a timer is not as fine.
const SPIN: Duration = Duration::from_micros(200);

/// The answers of a command, in order.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) bytes: Vec<u8>,
    /// The position of each line in `bytes`, without its line break.
    pub(super) lines: Vec<Range<usize>>,
}

/// The reason why there are no answers.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The command closed its output.
    Ended,
    /// The command wrote something before it was given the first line of this batch.
    Early,
    /// The command broke the protocol. The text says how, as the end of a sentence.
    Protocol(String),
}

/// A running command and the protocol with it.
pub(super) struct Conversation {
    pub(super) process: Process,
    pipes: Pipes,
}

/// The pipes to and from a command, and the state of the protocol.
struct Pipes {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// Tells whether the command was ever given a line.
    was_asked: bool,
    /// Tells whether the command reads a piece of a line as soon as it waits for input.
    reads_pieces: bool,
}

impl Conversation {
    pub(super) fn new(mut process: Process) -> Self {
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        Self { process, pipes: Pipes { stdin, stdout, was_asked: false, reads_pieces: true } }
    }

    /// Tells whether the command was ever given a line.
    pub(super) fn was_asked(&self) -> bool {
        self.pipes.was_asked
    }

    /// Writes a line for each of these events and reads the answers.
    ///
    /// A background process of the command may hold its output open, so the end of the command itself counts too.
    pub(super) async fn ask(
        &mut self,
        batch: &Batch,
        events: &[usize],
        limit: usize,
    ) -> Result<Answers, Failure> {
        let asked = self.pipes.ask(batch, events, limit);
        tokio::pin!(asked);
        tokio::select! {
            biased;
            answers = &mut asked => return answers,
            () = self.process.ended() => {}
        }
        // The group of the command was killed, so its output ends, unless a process has left the group.
        tokio::time::timeout(GRACE, asked).await.unwrap_or(Err(Failure::Ended))
    }

    /// Closes the command's input.
    pub(super) fn close_input(&mut self) {
        self.pipes.stdin = None;
    }

    /// Closes the command's input and reads its output to the end. Returns whether there was any.
    pub(super) async fn finish(&mut self, kill_after: Duration) -> bool {
        self.close_input();
        let Some(mut stdout) = self.pipes.stdout.take() else { return false };
        let mut is_surplus = false;
        let mut piece = vec![0; 4096];
        let read = async {
            while let Ok(1..) = stdout.read(&mut piece).await {
                is_surplus = true;
            }
        };
        tokio::pin!(read);
        let end = self.process.end(kill_after);
        tokio::pin!(end);
        let mut has_read = false;
        loop {
            tokio::select! {
                () = &mut read, if !has_read => has_read = true,
                () = &mut end => break,
            }
        }
        if !has_read {
            // A process that left the group may hold the output open.
            let _ = tokio::time::timeout(GRACE, read).await;
        }
        is_surplus
    }
}

impl Pipes {
    async fn ask(&mut self, batch: &Batch, events: &[usize], limit: usize) -> Result<Answers, Failure> {
        let mut reader = AnswerReader { answers: Answers::default(), start: 0, scanned: 0, limit };
        let Some((&last, others)) = events.split_last() else { return Ok(reader.answers) };
        if let Some((&first, rest)) = others.split_first() {
            self.begin_line(batch.payload(first), &mut reader).await?;
            if !reader.answers.lines.is_empty() {
                return Err(Failure::Early);
            }
            self.was_asked = true;
            let (stdin, stdout) = self.both()?;
            tokio::try_join!(write(stdin, batch, rest), reader.read(stdout, others.len()))?;
        }
        self.begin_line(batch.payload(last), &mut reader).await?;
        if reader.answers.lines.len() > others.len() {
            return Err(if others.is_empty() { Failure::Early } else { surplus() });
        }
        self.was_asked = true;
        let (stdin, stdout) = self.both()?;
        stdin.write_all(b"\n").await.map_err(|_| Failure::Ended)?;
        reader.read(stdout, events.len()).await?;
        reader.read_available(stdout)?;
        if reader.is_at(events.len()) { Ok(reader.answers) } else { Err(surplus()) }
    }

    fn both(&mut self) -> Result<(&mut ChildStdin, &mut ChildStdout), Failure> {
        match (&mut self.stdin, &mut self.stdout) {
            (Some(stdin), Some(stdout)) => Ok((stdin, stdout)),
            _ => Err(Failure::Ended),
        }
    }

    /// Writes a line without its line break, waits until the command has read it, and reads what is there.
    async fn begin_line(&mut self, line: &[u8], reader: &mut AnswerReader) -> Result<(), Failure> {
        let waits = self.reads_pieces && !line.is_empty();
        let (stdin, stdout) = self.both()?;
        let piece = async { stdin.write_all(line).await.map_err(|_| Failure::Ended) };
        // A command that passes pieces on must not be stopped by a full pipe.
        reader.read_beside(stdout, piece).await?;
        if waits {
            self.reads_pieces = wait_until_read(stdin, stdout, reader).await?;
        } else {
            reader.read_available(stdout)?;
        }
        Ok(())
    }
}

fn surplus() -> Failure {
    Failure::Protocol("answered with more lines than it was given".to_owned())
}

/// Waits until the pipe to the command is empty, and reads what is there. False if the wait took too long.
async fn wait_until_read(
    stdin: &ChildStdin,
    stdout: &ChildStdout,
    reader: &mut AnswerReader,
) -> Result<bool, Failure> {
    let since = Instant::now();
    loop {
        // An error means that this system cannot say how much the pipe holds.
        let is_read = rustix::io::ioctl_fionread(stdin).unwrap_or(0) == 0;
        // In this order: what the command wrote before it read is in its pipe by now.
        reader.read_available(stdout)?;
        match since.elapsed() {
            _ if is_read => return Ok(true),
            waited if waited > PATIENCE => return Ok(false),
            waited if waited > SPIN => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// Ends the line that was begun, and writes these.
async fn write(stdin: &mut ChildStdin, batch: &Batch, events: &[usize]) -> Result<(), Failure> {
    let mut lines = Vec::with_capacity(PIECE);
    lines.push(b'\n');
    for event in events {
        lines.extend_from_slice(batch.payload(*event));
        lines.push(b'\n');
        if lines.len() >= PIECE {
            stdin.write_all(&lines).await.map_err(|_| Failure::Ended)?;
            lines.clear();
        }
    }
    stdin.write_all(&lines).await.map_err(|_| Failure::Ended)?;
    stdin.flush().await.map_err(|_| Failure::Ended)
}

/// Reads answers and cuts them into lines. No byte is looked at twice.
struct AnswerReader {
    answers: Answers,
    /// The start of the line that is not complete yet.
    start: usize,
    /// The bytes that were searched for line breaks.
    scanned: usize,
    /// The longest line.
    limit: usize,
}

impl AnswerReader {
    /// Reads until there are `count` lines.
    async fn read(&mut self, stdout: &mut ChildStdout, count: usize) -> Result<(), Failure> {
        while self.answers.lines.len() < count {
            self.read_once(stdout).await?;
        }
        if self.is_at(count) { Ok(()) } else { Err(surplus()) }
    }

    /// Reads while `work` lasts.
    async fn read_beside(
        &mut self,
        stdout: &mut ChildStdout,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                read = self.read_once(stdout) => read?,
            }
        }
    }

    /// Reads once, waiting for output. Cancel safe.
    async fn read_once(&mut self, stdout: &mut ChildStdout) -> Result<(), Failure> {
        self.answers.bytes.reserve(PIECE);
        match stdout.read_buf(&mut self.answers.bytes).await {
            Ok(1..) => self.cut(),
            _ => Err(Failure::Ended),
        }
    }

    /// Reads what a pipe holds now. Asks the system, because the runtime learns of new output later.
    fn read_available(&mut self, stdout: &ChildStdout) -> Result<(), Failure> {
        for _ in 0..PIPE_PIECES {
            self.answers.bytes.reserve(PIECE);
            match rustix::io::read(stdout, rustix::buffer::spare_capacity(&mut self.answers.bytes)) {
                Ok(1..) => self.cut()?,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                _ => return Err(Failure::Ended),
            }
        }
        Ok(())
    }

    /// Tells whether exactly `count` lines were read, and nothing after them.
    fn is_at(&self, count: usize) -> bool {
        self.answers.lines.len() == count && self.start == self.answers.bytes.len()
    }

    fn cut(&mut self) -> Result<(), Failure> {
        let Answers { bytes, lines } = &mut self.answers;
        let mut longest = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + end;
            let line = self.start..end - usize::from(bytes[self.start..end].ends_with(b"\r"));
            longest = longest.max(line.len());
            lines.push(line);
            (self.start, self.scanned) = (end + 1, end + 1);
        }
        self.scanned = bytes.len();
        if longest.max(self.scanned - self.start) > self.limit {
            let limit = Size(self.limit as u64);
            return Err(Failure::Protocol(format!("answered a line over the limit of {limit}")));
        }
        if bytes.len() > ANSWERS.max(self.limit) {
            return Err(Failure::Protocol(format!("answered a batch with over {}", Size(ANSWERS as u64))));
        }
        Ok(())
    }
}
