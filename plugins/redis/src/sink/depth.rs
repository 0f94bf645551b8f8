//! The depth limit of the key: a slow reader of the key slows the source.

use std::time::{Duration, Instant};

use tidegate_sdk::{Class, Error};

use crate::server::Servers;
use crate::server::commands::Commands;
use crate::server::verdict::{Expect, Verdict};
use crate::sink::options::Options;

/// The time for which a depth that was read counts.
const INTERVAL: Duration = Duration::from_millis(100);

/// The number of events for which a depth that was read counts.
const EVENTS: usize = 8192;

/// Reads the depth of a key at intervals.
pub(crate) struct Depth {
    key: String,
    question: &'static str,
    limit: u64,
    looked: Option<Instant>,
    events: usize,
}

impl Depth {
    /// The limit of the options, if there is one.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let key = options.key.as_literal()?.to_owned();
        let (limit, question) = (options.depth_limit?, options.command.depth()?);
        Some(Self { key, question, limit, looked: None, events: 0 })
    }

    /// Checks the depth before `events` more are written. Busy if the key is too deep.
    pub(crate) async fn check(&mut self, servers: &mut Servers, events: usize) -> Result<(), Error> {
        self.events += events;
        let fresh = self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL);
        if fresh && self.events < EVENTS {
            return Ok(());
        }
        let mut question = Commands::default();
        question.push_bare(self.question, self.key.as_bytes(), &[], Expect::Number);
        match servers.send(&question).await.pop() {
            Some(Verdict::Done(depth)) if depth.unsigned_abs() >= self.limit => {
                let (key, limit) = (&self.key, self.limit);
                let message = format!("`{key}` holds {depth} entries and `depth_limit` is {limit}");
                self.looked = None;
                Err(Error::busy(message, INTERVAL))
            }
            // Nothing was written, so a missing answer is not ambiguous.
            Some(Verdict::Again(Class::Ambiguous, message)) => Err(Error::retry(&*message)),
            Some(Verdict::Again(class, message)) => Err(Error::new(class, &*message)),
            // The write that follows gets the same refusal, and reports it for the events.
            _ => {
                (self.looked, self.events) = (Some(Instant::now()), 0);
                Ok(())
            }
        }
    }
}
