//! One round's world: a folder, a file that grows, a server, the engine in between.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tidegate_servers::redis::{Redis, Reply};

use crate::chance::Chance;
use crate::destination::Destination;
use crate::engine::{Engine, Run};
use crate::feeder::Feeder;
use crate::lane::{Fault, GROUP, Guarantee, Input, Lane};
use crate::libraries::{self, Isolation, Libraries};
use crate::oracle::{Checker, Tally};
use crate::proxy::Proxy;
use crate::publisher::{Care, Publisher, STREAM};

/// A fresh event has to arrive within this time after the last fault.
pub(crate) const FRESH: Duration = Duration::from_secs(10);

/// How many events are sent between two faults, at most: what is behind must be caught up with in [`FRESH`],
/// also by a server that makes each batch durable on a slow disk.
const AT_A_TIME: u64 = 1500;

/// What is put to the test.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The engine's binary.
    pub binary: PathBuf,
    /// The pipeline.
    pub lane: Lane,
    /// What it promises.
    pub guarantee: Guarantee,
    /// What is done to it.
    pub fault: Fault,
    /// Where its plugins come from, if they are not the built-in ones.
    pub libraries: Option<Libraries>,
}

impl Trial {
    /// Where its plugins run, if they come from libraries.
    pub(crate) fn isolation(&self) -> Option<Isolation> {
        self.libraries.as_ref().map(|libraries| libraries.isolation)
    }
}

/// Everything that a round needs, gone with it.
pub(crate) struct World {
    /// What is put to the test.
    pub(crate) trial: Trial,
    feeder: Feeder,
    /// In place of the feeder, where the input is a stream.
    publisher: Option<Publisher>,
    /// The server, if the lane needs one.
    pub(crate) redis: Option<Redis>,
    /// Between the engine and the server, if the fault is one of the network.
    pub(crate) proxy: Option<Proxy>,
    /// The engine.
    pub(crate) engine: Engine,
    /// What the round's choices are made by.
    pub(crate) chance: Chance,
    output: PathBuf,
    folder: TempDir,
}

impl World {
    /// A new one. `follow`: whether the source waits for more input.
    ///
    /// # Errors
    /// If something of it cannot be made.
    pub(crate) fn new(trial: &Trial, seed: u64, follow: bool) -> Result<Self> {
        let mut chance = Chance::new(seed);
        let folder = tempfile::tempdir()?;
        let feeder = Feeder::new(folder.path(), Chance::new(chance.number()))?;
        let publisher = match trial.lane.input {
            Input::File => None,
            Input::Group => {
                let care = match (trial.fault.tears(), trial.guarantee) {
                    (false, _) => Care::None,
                    (true, Guarantee::EffectivelyOnce) => Care::Wait,
                    (true, Guarantee::AtLeastOnce) => Care::Ask,
                };
                Some(Publisher::new(Chance::new(chance.number()), care))
            }
        };
        let output = folder.path().join("out").join("events.jsonl");
        let lane = trial.lane;
        let settings = trial.fault.settings().unwrap_or_default();
        let redis = lane.shape.is_in_redis().then(|| Redis::start_with(settings));
        let proxy = match &redis {
            Some(redis) if trial.fault == Fault::Network => {
                Some(Proxy::start(redis.address(), Chance::new(chance.number()))?)
            }
            _ => None,
        };
        let url = match (&proxy, &redis) {
            (Some(proxy), _) => format!("redis://{}", proxy.address()),
            (None, Some(redis)) => redis.url(),
            (None, None) => String::new(),
        };
        let pipeline = folder.path().join("crash.toml");
        let text = lane.pipeline(trial, follow, (feeder.path(), &output), &url);
        std::fs::write(&pipeline, text)?;
        let engine = Engine {
            binary: trial.binary.clone(),
            pipeline,
            data: folder.path().join("data"),
            log: folder.path().join("log"),
        };
        Ok(Self { trial: trial.clone(), feeder, publisher, redis, proxy, engine, chance, output, folder })
    }

    /// What was written.
    pub(crate) fn destination(&self) -> Destination<'_> {
        let lane = self.trial.lane;
        Destination {
            shape: lane.shape,
            in_order: lane.is_in_order(),
            file: &self.output,
            redis: self.redis.as_ref(),
        }
    }

    /// The server of a lane that has one.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn redis(&mut self) -> Result<&mut Redis> {
        self.redis.as_mut().context("this lane has no server")
    }

    /// How many events are in the input.
    pub(crate) fn sent(&self) -> u64 {
        self.publisher.as_ref().map_or_else(|| self.feeder.sent(), Publisher::sent)
    }

    /// Adds this many events to the input.
    ///
    /// # Errors
    /// If the input cannot be written.
    pub(crate) fn send(&mut self, count: u64) -> Result<()> {
        let (Some(publisher), Some(redis)) = (&mut self.publisher, &self.redis) else {
            return self.feeder.whole(count);
        };
        let since = Instant::now();
        loop {
            match publisher.whole(redis, count) {
                Err(error) if since.elapsed() > FRESH => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Adds some events.
    fn send_some(&mut self) -> Result<()> {
        match (&mut self.publisher, &self.redis) {
            (Some(publisher), Some(redis)) => publisher.some(redis),
            _ => self.feeder.some()?,
        }
        Ok(())
    }

    /// Writes to the input for this long.
    ///
    /// # Errors
    /// If the input cannot be written.
    pub(crate) fn feed_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        let most = self.sent() + AT_A_TIME;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if self.sent() < most {
                self.send_some()?;
            }
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
    }

    /// Kills a run of the engine that is still there.
    ///
    /// # Errors
    /// If it has ended by itself, which nothing gave it a reason for.
    pub(crate) fn kill(&self, mut run: Run) -> Result<()> {
        if let Some(status) = run.ended()? {
            bail!("the engine ended by itself ({status}):\n{}", self.engine.log_tail());
        }
        run.kill()
    }

    /// Sends one more event and waits until it has arrived. Returns how long that took.
    ///
    /// # Errors
    /// If it does not within [`FRESH`].
    pub(crate) fn fresh_event(&mut self) -> Result<Duration> {
        self.send(1)?;
        let since = Instant::now();
        while !self.destination().has(self.sent() - 1)? {
            ensure!(
                since.elapsed() < FRESH,
                "a fresh event does not arrive within {} s:\n{}{}",
                FRESH.as_secs(),
                self.engine.log_tail(),
                self.redis.as_ref().map(about).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(since.elapsed())
    }

    /// Waits until the workers of a group are done with all of its entries, also with those that one that was
    /// killed had in its hands. A file is read in order, so its last event says that of all.
    ///
    /// # Errors
    /// If that takes longer than [`FRESH`].
    pub(crate) fn all_done(&self) -> Result<()> {
        let (Some(_), Some(redis)) = (&self.publisher, &self.redis) else { return Ok(()) };
        let since = Instant::now();
        loop {
            let pending = redis.query(["XPENDING", STREAM, GROUP]);
            if pending.list().first().and_then(Reply::integer) == Some(0) {
                return Ok(());
            }
            ensure!(
                since.elapsed() < FRESH,
                "entries stay pending for {} s: {pending:?}\n{}",
                FRESH.as_secs(),
                self.engine.log_tail()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until each of these processes is one of the group: one that has just been started would be ended by a
    /// signal that it is to drain at.
    ///
    /// # Errors
    /// If that takes longer than [`FRESH`].
    pub(crate) fn all_there(&self, processes: &[u32]) -> Result<()> {
        let (Some(_), Some(redis)) = (&self.publisher, &self.redis) else { return Ok(()) };
        let since = Instant::now();
        loop {
            let consumers = redis.query(["XINFO", "CONSUMERS", STREAM, GROUP]);
            let names: Vec<&str> =
                consumers.list().iter().filter_map(|one| one.list().get(1)).map(Reply::text).collect();
            let is_named = |id: u32| names.iter().any(|name| name.ends_with(&format!("-{id}-numbers")));
            // Who reads is the process in which the source runs.
            let is_there = |id: &u32| match self.trial.isolation() {
                Some(Isolation::Process) => libraries::processes(*id).into_iter().any(is_named),
                _ => is_named(*id),
            };
            if processes.iter().all(is_there) {
                return Ok(());
            }
            ensure!(
                since.elapsed() < FRESH,
                "an engine does not join its group:\n{}",
                self.engine.log_tail()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Counts.
    ///
    /// # Errors
    /// If what was written cannot be read.
    pub(crate) fn check(&mut self) -> Result<(Tally, Vec<String>)> {
        if let (Some(publisher), Some(redis)) = (&mut self.publisher, &self.redis) {
            publisher.verify(redis)?;
        }
        let sent = self.sent();
        let mut checker = Checker::new(sent);
        self.destination().each(sent, |payload| checker.arrived(payload))?;
        let (mut tally, examples) = checker.finish();
        if !self.trial.lane.is_in_order() {
            tally.out_of_order = 0;
        }
        Ok((tally, examples))
    }

    /// The files that hold what was delivered, and how far the source is. They need not be there yet.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let state = self.engine.data.join("crash");
        let names = ["numbers.position", "numbers.position.new", "numbers.position.old"];
        std::iter::once(self.output.clone()).chain(names.map(|name| state.join(name))).collect()
    }

    /// Leaves the folder where it is, for whoever looks for the reason. Returns its path.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// What the server says of its files, for whoever looks for the reason of a stall.
fn about(redis: &Redis) -> String {
    let information = redis.query(["INFO", "persistence"]);
    let log = redis.log();
    let tail: Vec<&str> = log.lines().rev().take(12).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    format!("\n{}\n{tail}\n", information.text().replace('\r', ""))
}
