//! A stream and the server that has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_sdk::{Cx, Error};

use crate::server::address::{Login, Target};
use crate::server::ask::error;
use crate::server::connection::{Connection, Dialer};
use crate::server::resp;
use crate::server::{Servers, health, verdict};
use crate::source::page::Refusal;
use crate::source::summary::Summary;

/// The longest reply that is read, in bytes, unless one event may be longer.
const ANSWER_BYTES: usize = 64 << 20;

/// A stream and the server that has it.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) target: Target,
    pub(crate) login: Arc<Login>,
    pub(crate) dialer: Arc<Dialer>,
    /// The key of the stream.
    pub(crate) name: String,
    /// The longest reply that is read, in bytes.
    pub(crate) longest: usize,
    /// The context for the checks of a server, if the sink acknowledges.
    pub(crate) sink_acknowledges: Option<Cx>,
}

/// The reason why nothing was read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The group is gone, or the stream.
    NoGroup,
    /// The reply is longer than the limit.
    TooLong,
    /// Anything else.
    Error(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Stream {
    /// The same stream, read by the component of this context.
    pub(crate) fn of(&self, cx: &Cx) -> Self {
        Self {
            longest: ANSWER_BYTES.max(cx.event_size().saturating_mul(4)),
            sink_acknowledges: cx.sink_acknowledges().then(|| cx.clone()),
            ..self.clone()
        }
    }

    /// Connects to the server that has the stream.
    ///
    /// Reading changes a group. So if the sink acknowledges, the append-only file is checked before the first command,
    /// as it is before the sink's writes.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        let servers = &mut Servers::new(&self.target, &self.login, &self.dialer);
        let mut connection = servers.dial(self.name.as_bytes()).await?;
        if let Some(cx) = &self.sink_acknowledges {
            health::prepare(&mut connection, cx).await?;
        }
        Ok(connection)
    }

    /// Sends a command whose answer may take `wait` longer. Returns the reply as it came.
    pub(crate) async fn ask(
        &self,
        connection: &mut Connection,
        words: &[&str],
        wait: Duration,
    ) -> Result<Bytes, Trouble> {
        let mut request = Vec::new();
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        resp::command(&mut request, &words);
        let asked = connection.ask_raw(&request, wait, self.longest).await;
        asked.map_err(
            |broken| if broken.is_too_long { Trouble::TooLong } else { Trouble::Error(broken.error) },
        )
    }

    /// The state of the stream as a whole. `None` if there is none.
    pub(crate) async fn summary(&self, connection: &mut Connection) -> Result<Option<Summary>, Error> {
        let answer = self.ask(connection, &["XINFO", "STREAM", &self.name], Duration::ZERO).await;
        let summary =
            answer.and_then(|answer| Summary::parse(&answer).map_err(|refusal| self.trouble(refusal)));
        summary.map_err(|trouble| match trouble {
            Trouble::Error(error) => error,
            Trouble::NoGroup => Error::retry("the stream was deleted"),
            Trouble::TooLong => self.too_long(),
        })
    }

    /// The meaning of a reply without entries.
    pub(crate) fn trouble(&self, refusal: Refusal) -> Trouble {
        match refusal {
            Refusal::Error(text) if text.starts_with("NOGROUP") => Trouble::NoGroup,
            // The stream was deleted during a wait for new entries.
            Refusal::Error(text) if text.starts_with("UNBLOCKED") => Trouble::NoGroup,
            Refusal::Error(text) => Trouble::Error(self.refused(&text)),
            Refusal::Malformed => Trouble::Error(Error::misconfigured(
                "the server's answer does not fit the question; is it really Redis?",
            )),
        }
    }

    /// The error for a command that the server refused.
    pub(crate) fn refused(&self, text: &str) -> Error {
        match verdict::classify_error(text) {
            verdict::Verdict::Key(_) => Error::misconfigured(format!(
                "the stream `{}` cannot be read; the server answered: {text}",
                self.name
            )),
            _ => error(text),
        }
    }

    /// The error for a single entry that is longer than the limit.
    pub(crate) fn too_long(&self) -> Error {
        Error::misconfigured(format!(
            "an entry of `{}` is longer than {} bytes; remove it from the stream, or raise `event_size` in \
             `[pipeline]`",
            self.name, self.longest
        ))
    }
}
