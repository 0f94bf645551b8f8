//! A consumer of a group: its commands, and the meaning of their replies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_sdk::{AckHandles, Cx, Error};

use crate::server::address::{Login, Target};
use crate::server::ask::{ask, ask_with, error};
use crate::server::connection::{Connection, Dialer};
use crate::server::resp;
use crate::server::{Servers, health, verdict};
use crate::source::page::{Id, Page, Refusal, deliveries};

/// The most ids in one command.
const COMMAND_IDS: usize = 1_000;

/// Removes dead consumers: see [`Member::remove_dead`].
const REMOVE_DEAD: &str = include_str!("remove_dead.lua");

/// A consumer, and the server of its stream.
pub(crate) struct Member {
    pub(crate) target: Target,
    pub(crate) login: Arc<Login>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) stream: String,
    pub(crate) group: String,
    pub(crate) consumer: String,
    /// The component, if the consumer has the name that is made from it.
    pub(crate) component: Option<String>,
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

impl Member {
    /// Connects to the server that has the stream.
    ///
    /// Reading changes a group. So if the sink acknowledges, the append-only file is checked before the first command,
    /// as it is before the sink's writes.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        let servers = &mut Servers::new(&self.target, &self.login, &self.dialer);
        let mut connection = servers.dial(self.stream.as_bytes()).await?;
        if let Some(cx) = &self.sink_acknowledges {
            health::prepare(&mut connection, cx).await?;
        }
        Ok(connection)
    }

    /// True if the group exists.
    pub(crate) async fn has_group(&self, connection: &mut Connection) -> Result<bool, Error> {
        let words = ["XPENDING", &self.stream, &self.group];
        match ask(connection, &words.map(str::as_bytes)).await? {
            Ok(_) => Ok(true),
            Err(text) if text.starts_with("NOGROUP") => Ok(false),
            Err(text) => Err(self.refused(&text)),
        }
    }

    /// Creates the group and the stream, unless they exist. True if the group was created.
    pub(crate) async fn create(&self, connection: &mut Connection, start: &str) -> Result<bool, Error> {
        let words = ["XGROUP", "CREATE", &self.stream, &self.group, start, "MKSTREAM"];
        match ask(connection, &words.map(str::as_bytes)).await? {
            Ok(_) => Ok(true),
            Err(text) if text.starts_with("BUSYGROUP") => Ok(false),
            Err(text) => Err(self.refused(&text)),
        }
    }

    /// Reads entries: with `after`, those pending with this consumer after that id. Otherwise waits for new ones.
    pub(crate) async fn read(
        &self,
        connection: &mut Connection,
        after: Option<Id>,
        count: usize,
        wait: Duration,
    ) -> Result<Page, Trouble> {
        let (count, wait_text) = (count.to_string(), wait.as_millis().to_string());
        let from = after.map_or_else(|| ">".to_owned(), |id| id.to_string());
        let mut words = vec!["XREADGROUP", "GROUP", &self.group, &self.consumer, "COUNT", &count];
        if after.is_none() {
            words.extend(["BLOCK", &wait_text]);
        }
        words.extend(["STREAMS", &self.stream, &from]);
        let answer = self.ask(connection, &words, wait).await?;
        Page::read(&answer).map_err(|refusal| self.trouble(refusal))
    }

    /// Takes over entries without a sign of life for `idle`, from the id `from` on.
    pub(crate) async fn take_over(
        &self,
        connection: &mut Connection,
        idle: Duration,
        from: Id,
        count: usize,
    ) -> Result<Page, Trouble> {
        let (idle, from, count) = (idle.as_millis().to_string(), from.to_string(), count.to_string());
        let words = ["XAUTOCLAIM", &self.stream, &self.group, &self.consumer, &idle, &from, "COUNT", &count];
        let answer = self.ask(connection, &words, Duration::ZERO).await?;
        Page::claimed(&answer).map_err(|refusal| self.trouble(refusal))
    }

    /// Adds the number of deliveries to each entry of the page. `more` others of this consumer may lie between them.
    pub(crate) async fn count(
        &self,
        connection: &mut Connection,
        page: &mut Page,
        more: usize,
    ) -> Result<(), Trouble> {
        let (Some(first), Some(last)) = (page.entries.first(), page.entries.last()) else { return Ok(()) };
        let (first, last) = (first.id.to_string(), last.id.to_string());
        let count = (page.entries.len() + page.trimmed.len() + more).to_string();
        let words = ["XPENDING", &self.stream, &self.group, &first, &last, &count, &self.consumer];
        let answer = self.ask(connection, &words, Duration::ZERO).await?;
        let counts = deliveries(&answer).map_err(|refusal| self.trouble(refusal))?;
        for entry in &mut page.entries {
            if let Ok(found) = counts.binary_search_by_key(&entry.id, |(id, _)| *id) {
                entry.deliveries = counts[found].1;
            }
        }
        Ok(())
    }

    /// True if anything is pending with this consumer.
    pub(crate) async fn has_pending(&self, connection: &mut Connection) -> Result<bool, Trouble> {
        let words = ["XPENDING", &self.stream, &self.group, "-", "+", "1", &self.consumer];
        let answer = self.ask(connection, &words, Duration::ZERO).await?;
        Ok(!deliveries(&answer).map_err(|refusal| self.trouble(refusal))?.is_empty())
    }

    /// Removes this consumer from the group.
    pub(crate) async fn leave(&self, connection: &mut Connection) -> Result<(), Error> {
        let words = ["XGROUP", "DELCONSUMER", &self.stream, &self.group, &self.consumer];
        ask(connection, &words.map(str::as_bytes)).await?.map(drop).map_err(|text| self.refused(&text))
    }

    /// Removes consumers that have been idle for `idle` and have nothing pending, and whose names are of the form of
    /// this consumer's: `HOST-PID-COMPONENT`. Returns their names.
    ///
    /// A script looks and removes in one step. Between two commands a consumer could read entries, which would be
    /// removed with it. A consumer that lives after all is created again by its next read.
    pub(crate) async fn remove_dead(
        &self,
        connection: &mut Connection,
        idle: Duration,
    ) -> Result<Vec<String>, Error> {
        let Some(component) = &self.component else { return Ok(Vec::new()) };
        let idle = idle.as_millis().to_string();
        let words = ["EVAL", REMOVE_DEAD, "1", &self.stream, &self.group, &self.consumer, component, &idle];
        let names = |reply: &resp::Reply<'_>| match reply {
            resp::Reply::Array(names) => names.iter().filter_map(resp::Reply::text).collect(),
            // Without the right to scripts, or without the group, nothing is removed.
            _ => Vec::new(),
        };
        ask_with(connection, &words.map(str::as_bytes), names).await
    }

    /// The ack_handles with which the sink acknowledges these entries.
    pub(crate) fn ack_handles(&self, ids: &[Id]) -> AckHandles {
        let scope = [&self.stream, &self.group, &self.consumer].map(String::clone);
        let mut ack_handles = AckHandles::new(&scope.into());
        ids.iter().for_each(|id| ack_handles.push(id.to_string().as_bytes()));
        ack_handles
    }

    /// Acknowledges entries.
    pub(crate) async fn acknowledge(&self, connection: &mut Connection, ids: &[Id]) -> Result<(), Error> {
        self.about(connection, ids, &["XACK", &self.stream, &self.group], &[]).await
    }

    /// Gives a sign of life for entries that no other consumer has taken over in the last `idle`.
    pub(crate) async fn touch(
        &self,
        connection: &mut Connection,
        ids: &[Id],
        idle: Duration,
    ) -> Result<(), Error> {
        let idle = idle.as_millis().to_string();
        let words = ["XCLAIM", &self.stream, &self.group, &self.consumer, &idle];
        self.about(connection, ids, &words, &["JUSTID"]).await
    }

    /// Sends a command about many entries, in chunks.
    async fn about(
        &self,
        connection: &mut Connection,
        ids: &[Id],
        head: &[&str],
        tail: &[&str],
    ) -> Result<(), Error> {
        let mut request = Vec::new();
        for ids in ids.chunks(COMMAND_IDS) {
            resp::begin(&mut request, head.len() + ids.len() + tail.len());
            head.iter().for_each(|word| resp::argument(&mut request, word.as_bytes()));
            ids.iter().for_each(|id| resp::argument(&mut request, id.to_string().as_bytes()));
            tail.iter().for_each(|word| resp::argument(&mut request, word.as_bytes()));
        }
        let mut refused = None;
        let each = |reply: resp::Reply<'_>| {
            if let resp::Reply::Error(text) = reply {
                refused = Some(String::from_utf8_lossy(text).into_owned());
            }
        };
        connection
            .exchange(&request, ids.chunks(COMMAND_IDS).count(), each)
            .await
            .map_err(|broken| broken.error)?;
        match refused {
            // There is nothing left to acknowledge. The next read creates the group again.
            Some(text) if text.starts_with("NOGROUP") => Ok(()),
            Some(text) => Err(self.refused(&text)),
            None => Ok(()),
        }
    }

    async fn ask(
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

    fn trouble(&self, refusal: Refusal) -> Trouble {
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

    fn refused(&self, text: &str) -> Error {
        match verdict::classify_error(text) {
            verdict::Verdict::Key(_) => Error::misconfigured(format!(
                "the stream `{}` cannot be read; the server answered: {text}",
                self.stream
            )),
            _ => error(text),
        }
    }
}

#[cfg(test)]
mod tests;
