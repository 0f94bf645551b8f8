//! The sink: a batch in, commands out, and what became of each event.

use std::sync::Arc;

use tidegate_sdk::erased::ErasedSink;
use tidegate_sdk::{Batch, Class, ConfigError, Cx, Delivery, Error, Sink};
use tracing::warn;

use crate::address::{self, Login, Target};
use crate::depth::Depth;
use crate::options::{Command, Options};
use crate::plan::Plan;
use crate::servers::Servers;
use crate::shape::Shape;
use crate::verdict::{Expect, Verdict};
use crate::wire::{Dialer, Tls};

/// What all instances of a component share.
struct Setup {
    options: Options,
    shape: Shape,
    target: Target,
    login: Arc<Login>,
    dialer: Arc<Dialer>,
}

/// The sink `redis`.
pub(crate) struct RedisSink {
    setup: Arc<Setup>,
    servers: Servers,
    depth: Option<Depth>,
    plan: Plan,
    /// Keys that were written to, and not trimmed or given their time to live since. Never more than one batch
    /// has: the next one waits until these are done.
    owed: Vec<Vec<u8>>,
}

impl RedisSink {
    /// A sink with these options, not connected yet.
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let (target, login) = address::target(&options)?;
        let dialer = Dialer {
            tls: Tls::new(options.tls.clone().unwrap_or_default()),
            connect_limit: *options.connect_time_limit,
            answer_limit: *options.time_limit,
        };
        let (login, dialer) = (Arc::new(login), Arc::new(dialer));
        let shape = Shape::new(&options)?;
        Ok(Self::of(Arc::new(Setup { options, shape, target, login, dialer })))
    }

    fn of(setup: Arc<Setup>) -> Self {
        let servers = Servers::new(&setup.target, &setup.login, &setup.dialer);
        let depth = Depth::new(&setup.options);
        Self { setup, servers, depth, plan: Plan::default(), owed: Vec::new() }
    }

    /// Trims the keys that were written to, and sets their time to live.
    ///
    /// This follows the writes rather than going with them: behind a write that was refused because the key
    /// is somebody else's, it would let somebody else's key expire.
    async fn settle_owed(&mut self) -> Result<(), Error> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let mut plan = Plan::default();
        for key in &self.owed {
            self.setup.after_write(key, &mut plan);
        }
        for verdict in self.servers.send(&plan).await {
            match verdict {
                Verdict::Done(_) => {}
                // Both commands can be given twice, so it does not matter whether they were done.
                Verdict::Again(Class::Ambiguous, message) => return Err(Error::retry(&*message)),
                Verdict::Again(class, message) => return Err(Error::new(class, &*message)),
                Verdict::Key(message) if message.contains("NOPERM") => {
                    return Err(Error::misconfigured(message));
                }
                other => warn!(?other, "a key was not trimmed, or has no time to live"),
            }
        }
        self.owed.clear();
        Ok(())
    }

    /// Says of each event what the verdict on its command means for it.
    fn account(&mut self, verdicts: Vec<Verdict>, delivery: &mut Delivery) {
        let literal = self.setup.shape.key.as_literal().is_some();
        let mut again: Option<(Class, Arc<str>)> = None;
        let mut events = Vec::new();
        for (command, verdict) in self.plan.commands.iter().zip(verdicts) {
            let carried = &self.plan.order[command.events.clone()];
            let (class, message) = match verdict {
                Verdict::Done(_) => {
                    if self.setup.owes() {
                        self.owed.push(self.plan.buffer[command.key.clone()].to_vec());
                    }
                    continue;
                }
                // A literal key is the component's, so what is wrong with it is wrong for every event.
                Verdict::Key(message) if literal => (Class::Misconfigured, message.into()),
                Verdict::Key(reason) | Verdict::Event(reason) => {
                    carried.iter().for_each(|event| delivery.reject(*event, reason.as_str()));
                    continue;
                }
                Verdict::Again(class, message) => (class, message),
                Verdict::Moved { .. } | Verdict::Ask { .. } => (
                    Class::Misconfigured,
                    "the server is a node of a cluster, and another node has the key: use `cluster`".into(),
                ),
            };
            events.extend_from_slice(carried);
            if again.as_ref().is_none_or(|(known, _)| gravity(class) > gravity(*known)) {
                again = Some((class, message));
            }
        }
        self.owed.sort_unstable();
        self.owed.dedup();
        if let Some((class, message)) = again {
            events.sort_unstable();
            delivery.again(events, Error::new(class, &*message));
        }
    }
}

impl Setup {
    /// Whether a key needs something done after it was written to.
    fn owes(&self) -> bool {
        self.expires() || self.trims()
    }

    fn expires(&self) -> bool {
        self.options.ttl.is_some() && self.shape.command != Command::Set
    }

    fn trims(&self) -> bool {
        self.options.maxlen.is_some() && self.shape.command.is_list()
    }

    fn after_write(&self, key: &[u8], plan: &mut Plan) {
        if let (true, Some(maxlen)) = (self.trims(), self.options.maxlen) {
            match self.shape.command {
                Command::Lpush => plan.bare("LTRIM", key, &["0", &(maxlen - 1).to_string()], Expect::Ok),
                _ => plan.bare("LTRIM", key, &[&format!("-{maxlen}"), "-1"], Expect::Ok),
            }
        }
        if let (true, Some(ttl)) = (self.expires(), self.options.ttl) {
            plan.bare("PEXPIRE", key, &[&ttl.as_millis().to_string()], Expect::Number);
        }
    }
}

/// Which of several reasons to try again is told: the one that matters most to whoever reads it.
fn gravity(class: Class) -> u8 {
    match class {
        Class::Misconfigured => 1,
        Class::Ambiguous => 2,
        _ => 0,
    }
}

impl Sink for RedisSink {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.servers.connect().await
    }

    async fn write(&mut self, batch: &Batch, _cx: &Cx) -> Result<Delivery, Error> {
        self.settle_owed().await?;
        if let Some(depth) = &mut self.depth {
            depth.check(&mut self.servers, batch.len()).await?;
        }
        let mut delivery = Delivery::complete();
        self.plan.clear();
        self.plan.fill(&self.setup.shape, batch, &mut delivery);
        let verdicts = self.servers.send(&self.plan).await;
        self.account(verdicts, &mut delivery);
        if let Err(error) = self.settle_owed().await {
            warn!(%error, "what was written is not trimmed yet, or has no time to live yet");
        }
        Ok(delivery)
    }

    fn fork(&self) -> Option<Box<dyn ErasedSink>> {
        Some(Box::new(Self::of(Arc::clone(&self.setup))))
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        let settled = self.settle_owed().await;
        self.servers.close().await;
        settled
    }
}
