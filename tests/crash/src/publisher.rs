//! Adds events to the stream that workers share, each exactly once, also to a server that forgets its newest data.

use anyhow::{Context, Result, bail, ensure};
use tidegate_servers::redis::{Redis, Reply};

use crate::chance::Chance;
use crate::oracle::{event, number};

/// The key of the stream.
pub(crate) const STREAM: &str = "numbers";

/// How many events are added at a time, at most.
const CHUNK: u64 = 200;

/// How many now and then: more than a worker reads at a time.
const BURST: u64 = 2000;

/// What it does about an append-only file whose tail may be torn. Behind a torn transaction, a server drops what is
/// added at its next start, and may keep what is added still later: nobody could tell that from a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing: none is torn.
    None,
    /// It waits after each start of the server until the engines have had the file written anew.
    Wait,
    /// It asks for that itself, because these engines do not.
    Ask,
}

/// A stream of numbered events that grows.
#[derive(Debug)]
pub(crate) struct Publisher {
    chance: Chance,
    care: Care,
    /// The number of the next event, as far as is known.
    next: u64,
    /// That number before the server forgot any.
    most: u64,
}

impl Publisher {
    /// One that has added nothing yet.
    pub(crate) fn new(chance: Chance, care: Care) -> Self {
        Self { chance, care, next: 0, most: 0 }
    }

    /// How many events are in the stream.
    pub(crate) fn sent(&self) -> u64 {
        self.next
    }

    /// Adds some events, if the server is there.
    pub(crate) fn some(&mut self, redis: &Redis) {
        let count = match self.chance.one_in(32) {
            true => self.chance.within(CHUNK..BURST),
            false => self.chance.within(1..CHUNK),
        };
        // It may be killed at any moment, and what it has then is seen the next time.
        drop(self.add(redis, count));
    }

    /// Adds this many events.
    ///
    /// # Errors
    /// If the server is not there.
    pub(crate) fn whole(&mut self, redis: &Redis, count: u64) -> Result<()> {
        self.add(redis, count)
    }

    /// Adds events behind the last one that is there: what the server has forgotten is sent again.
    ///
    /// Each is a command of its own. A transaction behind a torn one would complete that.
    fn add(&mut self, redis: &Redis, count: u64) -> Result<()> {
        if self.care != Care::None {
            let information = redis.pipeline(&[vec!["INFO", "persistence"]])?;
            let text = information.first().map(Reply::text).unwrap_or_default();
            let is_busy = !text.contains("aof_rewrite_in_progress:0");
            let is_written_anew = !text.contains("aof_last_rewrite_time_sec:-1");
            if self.care == Care::Ask && !is_busy && !is_written_anew {
                redis.pipeline(&[vec!["BGREWRITEAOF"]])?;
            }
            ensure!(is_written_anew && !is_busy, "the append-only file is not written anew yet");
        }
        self.recall(redis)?;
        // What was made of an event may be there although the event is forgotten.
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

    /// Sees that each event is in the stream once, so that what does not arrive is the engine's loss and not the
    /// server's.
    ///
    /// # Errors
    /// If it is not, or the server is not there.
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

    /// Looks which event is the last.
    ///
    /// # Errors
    /// If the server is not there.
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
