//! The sink: writes a batch as commands, and reports the fate of each event.

pub(crate) mod depth;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod setup;
pub(crate) mod shape;
pub(crate) mod transactional;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_sdk::{
    AckHandles, AcknowledgingSink, Batch, Claim, Class, ConfigError, ConfigErrors, Cx, Delivery, Error, Lane,
    Record, Sink, TransactionalSink, async_trait,
};
use tracing::warn;

use crate::server::Servers;
use crate::server::commands::Commands;
use crate::server::resolve::resolve;
use crate::server::verdict::Verdict;

use depth::Depth;
use options::Options;
use plan::Plan;
use setup::Setup;
use shape::Shape;
use transactional::Transactional;
use transactional::acknowledge::Acknowledger;

/// The problem of a redirection outside of a cluster.
const WRONG_NODE: &str =
    "the server is a node of a cluster, and another node has the key: use `cluster` in place of `url`";

/// The sink `redis`.
pub(crate) struct RedisSink {
    setup: Arc<Setup>,
    servers: Servers,
    depth: Option<Depth>,
    commands: Commands,
    /// Keys that were written to and are not trimmed, or have no time to live yet. They are of one batch: the next
    /// batch waits until they are done.
    pending_trims: Vec<Vec<u8>>,
    transactional: Transactional,
    acknowledger: Acknowledger,
}

impl RedisSink {
    /// A sink with these options, not connected yet.
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let server = errors.keep(resolve(&options.server));
        if options.wait_for_replicas.is_some_and(|count| !(1..=1000).contains(&count)) {
            errors.push(
                ConfigError::at("/wait_for_replicas", "a server has between 1 and 1000 replicas")
                    .help("leave it out to wait for none"),
            );
        }
        let shape = errors.keep(Shape::new(&options));
        let (Some((target, login, mut dialer)), Some(shape)) = (server, shape) else {
            return Err(errors.into_error());
        };
        errors.finish(())?;
        dialer.replicas = options.wait_for_replicas.unwrap_or(0);
        let (login, dialer) = (Arc::new(login), Arc::new(dialer));
        Ok(Self::of(Arc::new(Setup { options, shape, target, login, dialer })))
    }

    fn of(setup: Arc<Setup>) -> Self {
        let servers = Servers::new(&setup.target, &setup.login, &setup.dialer);
        let depth = Depth::new(&setup.options);
        Self {
            setup,
            servers,
            depth,
            commands: Commands::default(),
            pending_trims: Vec::new(),
            transactional: Transactional::default(),
            acknowledger: Acknowledger::default(),
        }
    }

    /// Trims the keys that were written to, and sets their time to live.
    ///
    /// This follows the writes and does not go with them. After a write that was refused because the key belongs to
    /// another program, it would let that key expire.
    async fn send_pending_trims(&mut self) -> Result<(), Error> {
        if self.pending_trims.is_empty() {
            return Ok(());
        }
        let mut commands = Commands::default();
        for key in &self.pending_trims {
            self.setup.after_write(key, &mut commands);
        }
        for verdict in self.servers.send(&commands).await {
            match verdict {
                Verdict::Done(_) => {}
                // Both commands can be given twice, so it does not matter whether they were done.
                Verdict::Again(Class::Ambiguous, message) => return Err(Error::retry(&*message)),
                Verdict::Again(class, message) => return Err(Error::new(class, &*message)),
                Verdict::Key(message) if message.contains("NOPERM") => {
                    return Err(Error::misconfigured(message));
                }
                Verdict::Key(reason) | Verdict::Event(reason) => {
                    // Somebody put another value in the key's place since; it is theirs now.
                    warn!(reason, "a key was not trimmed, or has no time to live");
                }
                Verdict::Moved { .. } | Verdict::Ask { .. } => {
                    return Err(Error::misconfigured(WRONG_NODE));
                }
            }
        }
        self.pending_trims.clear();
        Ok(())
    }

    /// Records the verdict on each of `commands` for its events. Returns the events of shared commands whose values
    /// were refused: the server does not say which of them is at fault.
    fn account(
        &mut self,
        commands: &Commands,
        verdicts: Vec<Verdict>,
        delivery: &mut Delivery,
        again: &mut Again,
    ) -> Vec<usize> {
        let literal = self.setup.shape.key.as_literal().is_some();
        let mut suspects = Vec::new();
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let carried = &commands.order[commands.list[index].events.clone()];
            let (class, message) = match verdict {
                Verdict::Done(_) => {
                    if self.setup.owes() {
                        self.pending_trims.push(commands.key(index).to_vec());
                    }
                    continue;
                }
                // A literal key is the component's, so a problem of the key is one of every event.
                Verdict::Key(message) if literal => (Class::Misconfigured, message.into()),
                Verdict::Event(_) if carried.len() > 1 => {
                    suspects.extend_from_slice(carried);
                    continue;
                }
                Verdict::Key(reason) | Verdict::Event(reason) => {
                    carried.iter().for_each(|event| delivery.reject(*event, reason.as_str()));
                    continue;
                }
                Verdict::Again(class, message) => (class, message),
                Verdict::Moved { .. } | Verdict::Ask { .. } => (Class::Misconfigured, WRONG_NODE.into()),
            };
            again.add(carried, class, &message);
        }
        self.pending_trims.sort_unstable();
        self.pending_trims.dedup();
        suspects
    }

    /// Writes these events again, each with a command of its own, so that each has a verdict of its own.
    async fn write_singly(
        &mut self,
        batch: &Batch,
        events: &[usize],
        delivery: &mut Delivery,
        again: &mut Again,
    ) {
        let setup = Arc::clone(&self.setup);
        let part = batch.select(events.iter().copied());
        let (mut commands, mut plan) = (Commands::default(), Plan::single(&setup.shape, &part));
        let verdicts = self.servers.send_from(&mut commands, &mut plan).await;
        commands.order.iter_mut().for_each(|event| *event = events[*event]);
        self.account(&commands, verdicts, delivery, again);
    }
}

/// Events to try again, each with its own reason: the nodes of a cluster fail independently.
#[derive(Default)]
struct Again(Vec<(usize, Class, Arc<str>)>);

impl Again {
    fn add(&mut self, events: &[usize], class: Class, message: &Arc<str>) {
        self.0.extend(events.iter().map(|event| (*event, class, Arc::clone(message))));
    }

    fn finish(mut self, delivery: &mut Delivery) {
        self.0.sort_by_key(|(event, ..)| *event);
        for (event, class, message) in self.0 {
            delivery.failed(event, Error::new(class, &*message));
        }
    }
}

#[async_trait]
impl Sink for RedisSink {
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.servers.connect().await
    }

    async fn write(&mut self, batch: &Batch, _cx: &Cx) -> Result<Delivery, Error> {
        self.send_pending_trims().await?;
        if let Some(depth) = &mut self.depth {
            depth.check(&mut self.servers, batch.len()).await?;
        }
        let mut commands = std::mem::take(&mut self.commands);
        commands.clear();
        let mut plan = Plan::new(&self.setup.shape, batch);
        let verdicts = self.servers.send_from(&mut commands, &mut plan).await;
        let (mut delivery, mut again) = (plan.delivery, Again::default());
        let suspects = self.account(&commands, verdicts, &mut delivery, &mut again);
        if !suspects.is_empty() {
            self.write_singly(batch, &suspects, &mut delivery, &mut again).await;
        }
        again.finish(&mut delivery);
        self.commands = commands;
        if let Err(error) = self.send_pending_trims().await {
            warn!(%error, "what was written is not trimmed yet, or has no time to live yet");
        }
        Ok(delivery)
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        self.setup.check_effectively_once()?;
        transactional::state_key(&self.setup, "", "")?;
        Ok(self)
    }

    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        self.setup.check_effectively_once()?;
        transactional::acknowledge::transaction_domain(&self.setup)?;
        Ok(self)
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(Self::of(Arc::clone(&self.setup))))
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        let trimmed = self.send_pending_trims().await;
        self.transactional.close().await;
        self.acknowledger.close().await;
        self.servers.close().await;
        trimmed
    }
}

#[async_trait]
impl TransactionalSink for RedisSink {
    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        self.transactional.claim((&self.setup, &mut self.servers), claim, cx).await
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        if let Some(depth) = &mut self.depth {
            depth.check(&mut self.servers, batch.len()).await?;
        }
        self.transactional.commit((&self.setup, &mut self.servers), batch, (lane, record), cx).await
    }
}

#[async_trait]
impl AcknowledgingSink for RedisSink {
    fn transaction_domain(&self) -> String {
        transactional::acknowledge::transaction_domain(&self.setup).unwrap_or_default()
    }

    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        if let Some(depth) = &mut self.depth {
            depth.check(&mut self.servers, batch.len()).await?;
        }
        self.acknowledger.ack_and_write((&self.setup, &mut self.servers), batch, handles, cx).await
    }
}
