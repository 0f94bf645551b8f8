//! A request that is still being made when its beginning has left.
//!
//! What a batch comes to is a megabyte of commands. Making all of it before the first byte leaves would keep the
//! server waiting; so it is made piece by piece, and the server works on one while the next is made.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Broken, READ_BYTES, Wire, parse_replies};
use crate::server::resp::Reply;

/// What is said in one exchange: a request that is made piece by piece, and what is done with the replies.
pub(crate) trait Talk: Send {
    /// Adds a piece to the request. False if it is complete.
    fn more(&mut self) -> bool;
    /// The request as far as it is made.
    fn request(&self) -> &[u8];
    /// How many replies the request as far as it is made is answered with.
    fn replies(&self) -> usize;
    /// Takes the next reply.
    fn reply(&mut self, reply: Reply<'_>);
}

/// How far an exchange is.
#[derive(Default)]
struct Progress {
    written: usize,
    answered: usize,
    is_complete: bool,
    is_flushed: bool,
}

impl Wire {
    /// Sends what `talk` makes and hands it the replies.
    ///
    /// Reads while it writes: a server that cannot send its replies stops reading requests.
    pub(crate) async fn talk(&mut self, talk: &mut impl Talk) -> Result<(), Broken> {
        let mut progress = Progress::default();
        let limit = self.limit;
        let result = tokio::time::timeout(limit, self.talk_on(talk, &mut progress)).await;
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(progress.written, Some(&error))),
            Err(_) => Err(self.broken(progress.written, None)),
        }
    }

    async fn talk_on(&mut self, talk: &mut impl Talk, progress: &mut Progress) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        loop {
            let left = talk.replies() - progress.answered;
            progress.answered += parse_replies(&mut self.inbox, left, |reply| talk.reply(reply))?;
            let has_left = progress.written == talk.request().len();
            if has_left && !progress.is_complete {
                progress.is_complete = !talk.more();
                continue;
            }
            if has_left && progress.is_flushed && progress.answered == talk.replies() {
                return Ok(());
            }
            self.inbox.reserve(READ_BYTES);
            tokio::select! {
                biased;
                sent = send(&mut writer, &talk.request()[progress.written..]), if !progress.is_flushed => {
                    let bytes = sent?;
                    progress.written += bytes;
                    progress.is_flushed = bytes == 0;
                }
                read = reader.read_buf(&mut self.inbox) => if read? == 0 {
                    return Err(io::Error::other("the server closed it"));
                },
            }
        }
    }
}

/// Sends some of `bytes` and returns how many; if there are none, sees that all before them have left.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        sent => Ok(sent),
    }
}
