//! One exchange with a command: so many lines to it, and as many back.

use std::ops::Range;

use tidegate_sdk::{Batch, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use crate::process::Process;

/// How much is written and read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// The most that all answers to one batch may hold, in bytes, if one event may not hold more.
const ANSWERS: usize = 64 << 20;

/// The answers of a command, in order.
pub(super) struct Answers {
    pub(super) bytes: Vec<u8>,
    /// Where each line lies in them, without its end.
    pub(super) lines: Vec<Range<usize>>,
}

/// Why there are no answers.
pub(super) enum Failure {
    /// The command has closed its output.
    Ended,
    /// It does not keep to "one line for one line": what it did instead.
    Protocol(String),
}

/// Writes a line for each of these events, and reads as many. Both at once: a command that answers while it
/// reads would otherwise wait for us, and we for it.
pub(super) async fn ask(
    process: &mut Process,
    batch: &Batch,
    events: &[usize],
    limit: usize,
) -> Result<Answers, Failure> {
    let (Some(stdin), Some(stdout)) = (&mut process.stdin, &mut process.stdout) else {
        return Err(Failure::Ended);
    };
    nothing_is_left(stdout).await?;
    let ((), answers) = tokio::try_join!(write(stdin, batch, events), read(stdout, events.len(), limit))?;
    Ok(answers)
}

/// An answer to nothing would be taken for the answer to the next event, and all further ones would be off by
/// one.
async fn nothing_is_left(stdout: &mut ChildStdout) -> Result<(), Failure> {
    let mut byte = [0];
    tokio::select! {
        biased;
        read = stdout.read(&mut byte) => match read {
            Ok(1..) => Err(Failure::Protocol("answered with more lines than it was given".to_owned())),
            _ => Err(Failure::Ended),
        },
        () = std::future::ready(()) => Ok(()),
    }
}

async fn write(stdin: &mut ChildStdin, batch: &Batch, events: &[usize]) -> Result<(), Failure> {
    let mut lines = Vec::with_capacity(PIECE);
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

async fn read(stdout: &mut ChildStdout, count: usize, limit: usize) -> Result<Answers, Failure> {
    let mut bytes = Vec::with_capacity(PIECE);
    let mut lines: Vec<Range<usize>> = Vec::with_capacity(count);
    let (mut start, mut scanned) = (0, 0);
    while lines.len() < count {
        bytes.reserve(PIECE);
        match stdout.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ => return Err(Failure::Ended),
        }
        let mut longest = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[scanned..]) {
            let end = scanned + end;
            let line = start..end - usize::from(bytes[start..end].ends_with(b"\r"));
            longest = longest.max(line.len());
            lines.push(line);
            (start, scanned) = (end + 1, end + 1);
        }
        scanned = bytes.len();
        if longest.max(scanned - start) > limit {
            let limit = Size(limit as u64);
            return Err(Failure::Protocol(format!("answered a line over the limit of {limit}")));
        }
        if bytes.len() > ANSWERS.max(limit) {
            return Err(Failure::Protocol(format!("answered a batch with over {}", Size(ANSWERS as u64))));
        }
    }
    match lines.len() == count && start == bytes.len() {
        true => Ok(Answers { bytes, lines }),
        false => Err(Failure::Protocol("answered with more lines than it was given".to_owned())),
    }
}
