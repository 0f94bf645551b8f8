//! Adds events to the stream that workers share, each exactly once, also to a server that forgets its newest data.

use anyhow::{Context, Result, ensure};
use tidegate_testkit::redis::{Redis, Reply};

use crate::chance::Chance;
use crate::oracle::{event, number};

/// The key of the stream.
pub(crate) const STREAM: &str = "numbers";

/// How many events are added at a time, at most.
const CHUNK: u64 = 200;

/// How many now and then: more than a worker reads at a time.
const BURST: u64 = 2000;

/// A stream of numbered events that grows.
#[derive(Debug)]
pub(crate) struct Publisher {
    chance: Chance,
    /// Whether nothing is added behind a tail that may be torn.
    careful: bool,
    /// The number of the next event, as far as is known.
    next: u64,
}

impl Publisher {
    /// One that has added nothing yet. If it is `careful`, it waits after each start of the server until somebody
    /// has had the append-only file written anew: behind a torn transaction, the server would drop what is added
    /// at its next start, and keep what is added still later, and nobody could tell that from a loss.
    pub(crate) fn new(chance: Chance, careful: bool) -> Self {
        Self { chance, careful, next: 0 }
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
        if self.careful {
            let information = redis.pipeline(&[vec!["INFO", "persistence"]])?;
            let text = information.first().map(Reply::text).unwrap_or_default();
            let is_written_anew =
                text.contains("aof_rewrite_in_progress:0") && !text.contains("aof_last_rewrite_time_sec:-1");
            ensure!(is_written_anew, "the append-only file is not written anew yet");
        }
        self.recall(redis)?;
        let add = |number| {
            ["XADD", STREAM, "*", "event"].map(str::to_owned).into_iter().chain([event(number)]).collect()
        };
        let commands: Vec<Vec<String>> = (self.next..self.next + count).map(add).collect();
        let replies = redis.pipeline(&commands).context("the stream cannot be added to")?;
        self.next += replies.iter().filter(|reply| matches!(reply, Reply::Text(_))).count() as u64;
        Ok(())
    }

    /// Looks which event is the last.
    ///
    /// # Errors
    /// If the server is not there.
    pub(crate) fn recall(&mut self, redis: &Redis) -> Result<()> {
        let last = redis.pipeline(&[vec!["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]])?;
        let last = last.first().and_then(|entries| entries.list().first());
        let payload = last.and_then(|entry| entry.list().get(1)).and_then(|fields| fields.list().get(1));
        self.next = match payload {
            Some(payload) => 1 + number(payload.text().as_bytes()).context("the last entry is an event")?,
            None => 0,
        };
        Ok(())
    }
}
