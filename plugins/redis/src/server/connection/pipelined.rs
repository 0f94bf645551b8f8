//! The exchange loop: writes a request while it is made, and reads the replies at the same time.
//!
//! The commands of a batch may take a megabyte. The first bytes leave while the others are still being made, so the
//! server works meanwhile. Replies are read during the writes, because a server that cannot send its replies stops
//! reading requests.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tidegate_sdk::Error;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Broken, Connection, READ_BYTES};
use crate::server::resp::{Frame, Malformed, REPLY_BYTES, Reply, tree};

/// The two sides of an exchange: a request that may be made in pieces, and the handling of the replies.
pub(crate) trait Exchange: Send {
    /// Appends a piece to the request. False if the request is complete.
    fn more(&mut self) -> bool {
        false
    }

    /// The request as far as it is made.
    fn request(&self) -> &[u8];

    /// The number of replies to the request as far as it is made.
    fn replies(&self) -> usize;

    /// Handles the next reply.
    fn reply(&mut self, reply: Reply<'_>);

    /// Takes the next reply, the first `length` bytes of `inbox`.
    fn take(&mut self, inbox: &mut BytesMut, length: usize) -> Result<(), Malformed> {
        self.reply(tree(&inbox[..length])?);
        inbox.advance(length);
        Ok(())
    }

    /// The longest reply, in bytes.
    fn longest(&self) -> usize {
        REPLY_BYTES
    }

    /// The time that the server may take longer than usual.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// The reason why an exchange ended early.
enum Failure {
    Io(io::Error),
    Malformed,
    TooLong,
    Unasked,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for Failure {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// The progress of an exchange.
struct Progress {
    written: usize,
    answered: usize,
    is_complete: bool,
    is_flushed: bool,
    /// The reply that is arriving.
    frame: Frame,
}

impl Connection {
    /// Runs an exchange to its end, within the time limit of answers.
    pub(crate) async fn run(&mut self, exchange: &mut impl Exchange) -> Result<(), Broken> {
        let mut progress =
            Progress { written: 0, answered: 0, is_complete: false, is_flushed: false, frame: Frame::new() };
        let limit = self.limit + exchange.pause();
        let result = tokio::time::timeout(limit, self.advance(exchange, &mut progress)).await;
        let address = &self.address;
        let is_too_long = matches!(result, Ok(Err(Failure::TooLong)));
        let message = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Failure::Io(error))) => format!("the connection to {address} broke: {error}"),
            Ok(Err(Failure::Malformed)) => {
                format!("the connection to {address} broke: the answer is not of the Redis protocol")
            }
            Ok(Err(Failure::TooLong)) => format!("{address} answered more than is read at a time"),
            Ok(Err(Failure::Unasked)) => format!("{address} sent something that it was not asked for"),
            Err(_) => {
                format!("{address} did not answer within {}", tidegate_sdk::Duration(self.limit))
            }
        };
        Err(Broken { written: progress.written, is_too_long, error: Error::retry(message) })
    }

    async fn advance(
        &mut self,
        exchange: &mut impl Exchange,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        if !self.inbox.is_empty() {
            // It would be taken for the first reply, and each reply for that of the next command.
            return Err(Failure::Unasked);
        }
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        loop {
            while progress.answered < exchange.replies() {
                let Some(length) = progress.frame.end(&self.inbox)? else { break };
                exchange.take(&mut self.inbox, length)?;
                progress.frame = Frame::new();
                progress.answered += 1;
            }
            let has_left = progress.written == exchange.request().len();
            if has_left && !progress.is_complete {
                progress.is_complete = !exchange.more();
                continue;
            }
            let is_answered = progress.answered == exchange.replies();
            if has_left && progress.is_flushed && is_answered {
                return if self.inbox.is_empty() { Ok(()) } else { Err(Failure::Unasked) };
            }
            if self.inbox.len() > exchange.longest() {
                return Err(Failure::TooLong);
            }
            // A long reply needs ever larger reads, so that it is not copied each time its buffer grows.
            self.inbox.reserve(READ_BYTES.max(self.inbox.len() / 2));
            tokio::select! {
                biased;
                sent = send(&mut writer, &exchange.request()[progress.written..]), if !progress.is_flushed => {
                    let bytes = sent?;
                    progress.written += bytes;
                    progress.is_flushed = bytes == 0;
                }
                read = reader.read_buf(&mut self.inbox) => if read? == 0 {
                    return Err(io::Error::other("the server closed it").into());
                },
            }
        }
    }
}

/// Sends some of `bytes` and returns their number. If there are none, flushes and returns 0.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        sent => Ok(sent),
    }
}
