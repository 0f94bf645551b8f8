//! A consumer of a group: its commands, and the meaning of their replies.

use std::time::Duration;

use tidegate_sdk::{AckHandles, Error};

use crate::server::ask::{ask, ask_with};
use crate::server::connection::Connection;
use crate::server::resp;
use crate::source::page::{Id, Page, deliveries};
use crate::source::stream::{Stream, Trouble};

/// The most ids in one command.
const COMMAND_IDS: usize = 1_000;

/// Removes dead consumers: see [`Member::remove_dead`].
const REMOVE_DEAD: &str = include_str!("remove_dead.lua");

/// A consumer, and its stream.
pub(crate) struct Member {
    pub(crate) stream: Stream,
    pub(crate) group: String,
    pub(crate) consumer: String,
    /// The component, if the consumer has the name that is made from it.
    pub(crate) component: Option<String>,
}

impl Member {
    /// Connects to the server that has the stream.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        self.stream.dial().await
    }

    /// True if the group exists.
    pub(crate) async fn has_group(&self, connection: &mut Connection) -> Result<bool, Error> {
        let words = ["XPENDING", &self.stream.name, &self.group];
        match ask(connection, &words.map(str::as_bytes)).await? {
            Ok(_) => Ok(true),
            Err(text) if text.starts_with("NOGROUP") => Ok(false),
            Err(text) => Err(self.stream.refused(&text)),
        }
    }

    /// Creates the group and the stream, unless they exist. True if the group was created.
    pub(crate) async fn create(&self, connection: &mut Connection, start: &str) -> Result<bool, Error> {
        let words = ["XGROUP", "CREATE", &self.stream.name, &self.group, start, "MKSTREAM"];
        match ask(connection, &words.map(str::as_bytes)).await? {
            Ok(_) => Ok(true),
            Err(text) if text.starts_with("BUSYGROUP") => Ok(false),
            Err(text) => Err(self.stream.refused(&text)),
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
        words.extend(["STREAMS", &self.stream.name, &from]);
        let answer = self.stream.ask(connection, &words, wait).await?;
        Page::read(&answer).map_err(|refusal| self.stream.trouble(refusal))
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
        let words =
            ["XAUTOCLAIM", &self.stream.name, &self.group, &self.consumer, &idle, &from, "COUNT", &count];
        let answer = self.stream.ask(connection, &words, Duration::ZERO).await?;
        Page::claimed(&answer).map_err(|refusal| self.stream.trouble(refusal))
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
        let words = ["XPENDING", &self.stream.name, &self.group, &first, &last, &count, &self.consumer];
        let answer = self.stream.ask(connection, &words, Duration::ZERO).await?;
        let counts = deliveries(&answer).map_err(|refusal| self.stream.trouble(refusal))?;
        for entry in &mut page.entries {
            if let Ok(found) = counts.binary_search_by_key(&entry.id, |(id, _)| *id) {
                entry.deliveries = counts[found].1;
            }
        }
        Ok(())
    }

    /// True if anything is pending with this consumer.
    pub(crate) async fn has_pending(&self, connection: &mut Connection) -> Result<bool, Trouble> {
        let words = ["XPENDING", &self.stream.name, &self.group, "-", "+", "1", &self.consumer];
        let answer = self.stream.ask(connection, &words, Duration::ZERO).await?;
        Ok(!deliveries(&answer).map_err(|refusal| self.stream.trouble(refusal))?.is_empty())
    }

    /// Removes this consumer from the group.
    pub(crate) async fn leave(&self, connection: &mut Connection) -> Result<(), Error> {
        let words = ["XGROUP", "DELCONSUMER", &self.stream.name, &self.group, &self.consumer];
        ask(connection, &words.map(str::as_bytes)).await?.map(drop).map_err(|text| self.stream.refused(&text))
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
        let words =
            ["EVAL", REMOVE_DEAD, "1", &self.stream.name, &self.group, &self.consumer, component, &idle];
        let names = |reply: &resp::Reply<'_>| match reply {
            resp::Reply::Array(names) => names.iter().filter_map(resp::Reply::text).collect(),
            // Without the right to scripts, or without the group, nothing is removed.
            _ => Vec::new(),
        };
        ask_with(connection, &words.map(str::as_bytes), names).await
    }

    /// The ack_handles with which the sink acknowledges these entries.
    pub(crate) fn ack_handles(&self, ids: &[Id]) -> AckHandles {
        let scope = [&self.stream.name, &self.group, &self.consumer].map(String::clone);
        let mut ack_handles = AckHandles::new(&scope.into());
        ids.iter().for_each(|id| ack_handles.push(id.to_string().as_bytes()));
        ack_handles
    }

    /// Acknowledges entries.
    pub(crate) async fn acknowledge(&self, connection: &mut Connection, ids: &[Id]) -> Result<(), Error> {
        self.about(connection, ids, &["XACK", &self.stream.name, &self.group], &[]).await
    }

    /// Gives a sign of life for entries that no other consumer has taken over in the last `idle`.
    pub(crate) async fn touch(
        &self,
        connection: &mut Connection,
        ids: &[Id],
        idle: Duration,
    ) -> Result<(), Error> {
        let idle = idle.as_millis().to_string();
        let words = ["XCLAIM", &self.stream.name, &self.group, &self.consumer, &idle];
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
            Some(text) => Err(self.stream.refused(&text)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
