//! Adds events to the stream that workers share, each exactly once, even if the server forgets its newest data.

use anyhow::{Context, Result, bail, ensure};
use tidegate_servers::redis::{Redis, Reply};

use crate::oracle::{event, number};
use crate::random::Random;

/// The key of the stream.
pub(crate) const STREAM: &str = "numbers";

/// Maximum number of events in a usual chunk.
const CHUNK: u64 = 200;

/// Maximum number of events in a burst: more than a worker reads at a time.
const BURST: u64 = 2000;

/// Handling of an append-only file whose end may be torn. A server drops entries after a torn transaction at its next
/// start, but may keep entries that are added later still. The gap looks like a loss of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// None: the file is never torn.
    None,
    /// Waits after each start of the server until an engine has requested a rewrite of the file.
    Wait,
    /// Requests the rewrite, because these engines do not, or only with the next event.
    Ask,
}

/// A stream of numbered events that grows.
#[derive(Debug)]
pub(crate) struct Publisher {
    random: Random,
    care: Care,
    /// Number of the next event, as far as known.
    next: u64,
    /// Highest value of `next`, before the server forgot events.
    most: u64,
}

impl Publisher {
    /// A publisher that has not added anything yet.
    pub(crate) fn new(random: Random, care: Care) -> Self {
        Self { random, care, next: 0, most: 0 }
    }

    /// Number of events in the stream.
    pub(crate) fn sent(&self) -> u64 {
        self.next
    }

    /// Adds some events, if the server is up.
    pub(crate) fn some(&mut self, redis: &Redis) {
        let range = if self.random.one_in(32) { CHUNK..BURST } else { 1..CHUNK };
        let count = self.random.within(range);
        // The server may be down. The next call finds out which events it has.
        drop(self.add(redis, count));
    }

    /// Adds `count` events.
    ///
    /// # Errors
    /// If the server is down.
    pub(crate) fn whole(&mut self, redis: &Redis, count: u64) -> Result<()> {
        self.add(redis, count)
    }

    /// Adds events after the last one in the stream, so that forgotten events are sent again.
    ///
    /// Sends one command per event, because a transaction after a torn one would complete it.
    fn add(&mut self, redis: &Redis, count: u64) -> Result<()> {
        if self.care != Care::None {
            let information = redis.pipeline(&[vec!["INFO", "persistence"]])?;
            let text = information.first().map(Reply::text).unwrap_or_default();
            let is_busy = !text.contains("aof_rewrite_in_progress:0");
            let is_rewritten = !text.contains("aof_last_rewrite_time_sec:-1");
            if self.care == Care::Ask && !is_busy && !is_rewritten {
                redis.pipeline(&[vec!["BGREWRITEAOF"]])?;
            }
            ensure!(is_rewritten && !is_busy, "the append-only file is not rewritten yet");
        }
        self.recall(redis)?;
        // The result of a forgotten event may exist, so every forgotten event is sent again.
        let count = count.max(self.most.saturating_sub(self.next));
        let add = |number| {
            ["XADD", STREAM, "*", "event"].map(str::to_owned).into_iter().chain([event(number)]).collect()
        };
        let commands: Vec<Vec<String>> = (self.next..self.next + count).map(add).collect();
        let replies = redis.pipeline(&commands).context("the stream cannot be added to")?;
        self.next += replies.iter().filter(|reply| matches!(reply, Reply::Text(_))).count() as u64;
        self.most = self.most.max(self.next);
        Ok(())
    }

    /// Checks that the stream holds each event once, so that a missing event is a loss of the engine, not of the
    /// server.
    ///
    /// # Errors
    /// If it is not, or the server is down.
    pub(crate) fn verify(&mut self, redis: &Redis) -> Result<()> {
        self.recall(redis)?;
        let (mut start, mut expected) = ("-".to_owned(), 0);
        loop {
            let page = redis.query(["XRANGE", STREAM, &start, "+", "COUNT", "5000"]);
            for entry in page.list() {
                let found =
                    entry.list().get(1).and_then(|fields| number(fields.list().get(1)?.text().as_bytes()));
                ensure!(
                    found == Some(expected),
                    "the stream holds {found:?} in the place of event {expected}"
                );
                expected += 1;
            }
            match page.list().last().and_then(|entry| entry.list().first()) {
                Some(last) => start = format!("({}", last.text()),
                None => return Ok(()),
            }
        }
    }

    /// Finds the last event of the stream.
    ///
    /// # Errors
    /// If the server is down.
    fn recall(&mut self, redis: &Redis) -> Result<()> {
        let last = redis.pipeline(&[vec!["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]])?;
        if let Some(Reply::Error(problem)) = last.first() {
            bail!("the stream cannot be read: {problem}");
        }
        let last = last.first().and_then(|entries| entries.list().first());
        let payload = last.and_then(|entry| entry.list().get(1)).and_then(|fields| fields.list().get(1));
        self.next = match payload {
            Some(payload) => 1 + number(payload.text().as_bytes()).context("the last entry is an event")?,
            None => 0,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
