//! The environment of one round: a folder, an input, a server, and the engine.

/// Destinations of the events.
pub(crate) mod destination;
/// Runs of the engine.
pub(crate) mod engine;
/// Writer of the input file.
mod feeder;
/// Network faults.
pub(crate) mod proxy;
/// Writer of the input stream.
pub(crate) mod publisher;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tidegate_servers::redis::{Redis, Reply};

use crate::lane::{Fault, GROUP, Guarantee, Input};
use crate::libraries::{self, Isolation};
use crate::oracle::{Checker, Tally};
use crate::random::Random;
use crate::trial::Trial;
use destination::Destination;
use engine::{Engine, Run};
use feeder::Feeder;
use proxy::Proxy;
use publisher::{Care, Publisher, STREAM};

/// Time limit for a fresh event to arrive after the last fault.
pub(crate) const FRESH: Duration = Duration::from_secs(10);

/// Maximum number of events between two faults. The backlog has to be processed within [`FRESH`], even by a server that
/// synchronises each batch on a slow disk.
const AT_A_TIME: u64 = 1500;

/// The environment of one round, removed when dropped.
pub(crate) struct World {
    /// The subject of the round.
    pub(crate) trial: Trial,
    feeder: Feeder,
    /// Writer of the input, if that is a stream.
    publisher: Option<Publisher>,
    /// The server, if the lane needs one.
    pub(crate) redis: Option<Redis>,
    /// Proxy between the engine and the server, for network faults.
    pub(crate) proxy: Option<Proxy>,
    /// The engine.
    pub(crate) engine: Engine,
    /// Random choices of the round.
    pub(crate) random: Random,
    output: PathBuf,
    folder: TempDir,
}

impl World {
    /// Creates a world. With `follow`, the source waits for more input at the end.
    ///
    /// # Errors
    /// If a part of it cannot be created.
    pub(crate) fn new(trial: &Trial, seed: u64, follow: bool) -> Result<Self> {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir()?;
        let feeder = Feeder::new(folder.path(), Random::new(random.number()))?;
        let publisher = match trial.lane.input {
            Input::File => None,
            Input::Group | Input::Ids => {
                let care = match (trial.fault.tears(), trial.guarantee, trial.lane.input) {
                    (false, ..) => Care::None,
                    (true, Guarantee::EffectivelyOnce, Input::Group) => Care::Wait,
                    // A sink that has nothing to write does not look at its server.
                    _ => Care::Ask,
                };
                Some(Publisher::new(Random::new(random.number()), care))
            }
        };
        let output = folder.path().join("out").join("events.jsonl");
        let lane = trial.lane;
        let settings = trial.fault.settings().unwrap_or_default();
        let redis = lane.shape.is_in_redis().then(|| Redis::start_with(settings));
        let proxy = match &redis {
            Some(redis) if trial.fault == Fault::Network => {
                Some(Proxy::start(redis.address(), Random::new(random.number()))?)
            }
            _ => None,
        };
        let url = match (&proxy, &redis) {
            (Some(proxy), _) => format!("redis://{}", proxy.address()),
            (None, Some(redis)) => redis.url(),
            (None, None) => String::new(),
        };
        let pipeline = folder.path().join("crash.toml");
        let text = trial.pipeline(follow, (feeder.path(), &output), &url);
        std::fs::write(&pipeline, text)?;
        let engine = Engine {
            binary: trial.binary.clone(),
            pipeline,
            data: folder.path().join("data"),
            log: folder.path().join("log"),
        };
        Ok(Self { trial: trial.clone(), feeder, publisher, redis, proxy, engine, random, output, folder })
    }

    /// The destination.
    pub(crate) fn destination(&self) -> Destination<'_> {
        let lane = self.trial.lane;
        Destination {
            shape: lane.shape,
            in_order: lane.is_in_order(),
            file: &self.output,
            redis: self.redis.as_ref(),
        }
    }

    /// The server of the lane.
    ///
    /// # Errors
    /// If the lane has none.
    pub(crate) fn redis(&mut self) -> Result<&mut Redis> {
        self.redis.as_mut().context("this lane has no server")
    }

    /// Number of events in the input.
    pub(crate) fn sent(&self) -> u64 {
        self.publisher.as_ref().map_or_else(|| self.feeder.sent(), Publisher::sent)
    }

    /// Adds `count` events to the input.
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

    /// Writes to the input for this time.
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

    /// Kills a run of the engine.
    ///
    /// # Errors
    /// If it had ended before, without a reason.
    pub(crate) fn kill(&self, mut run: Run) -> Result<()> {
        if let Some(status) = run.ended()? {
            bail!("the engine ended without a reason ({status}):\n{}", self.engine.log_tail());
        }
        run.kill()
    }

    /// Sends one more event and waits until it arrives. Returns the time that took.
    ///
    /// # Errors
    /// If it does not arrive within [`FRESH`].
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

    /// Waits until no entry of the group is pending, including those of killed workers. Other input needs no such
    /// wait: it is read in order, so its last event stands for all.
    ///
    /// # Errors
    /// If that takes longer than [`FRESH`].
    pub(crate) fn all_done(&self) -> Result<()> {
        let (Input::Group, Some(redis)) = (self.trial.lane.input, &self.redis) else { return Ok(()) };
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

    /// Waits until each of these processes is a consumer of the group. Before that, SIGTERM would end a process instead
    /// of draining it.
    ///
    /// # Errors
    /// If that takes longer than [`FRESH`].
    pub(crate) fn all_there(&self, processes: &[u32]) -> Result<()> {
        let (Input::Group, Some(redis)) = (self.trial.lane.input, &self.redis) else { return Ok(()) };
        let since = Instant::now();
        loop {
            let consumers = redis.query(["XINFO", "CONSUMERS", STREAM, GROUP]);
            let names: Vec<&str> =
                consumers.list().iter().filter_map(|one| one.list().get(1)).map(Reply::text).collect();
            let is_named = |id: u32| names.iter().any(|name| name.ends_with(&format!("-{id}-numbers")));
            // The consumer is named after the process of the source.
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

    /// Counts the events of the destination.
    ///
    /// # Errors
    /// If the destination cannot be read.
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

    /// The output file and the files of the position. They may not exist yet.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let state = self.engine.data.join("crash");
        let names = ["numbers.position", "numbers.position.new", "numbers.position.old"];
        std::iter::once(self.output.clone()).chain(names.map(|name| state.join(name))).collect()
    }

    /// Keeps the folder for inspection. Returns its path.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Persistence state and log of the server, for the report of a stall.
fn about(redis: &Redis) -> String {
    let information = redis.query(["INFO", "persistence"]);
    let log = redis.log();
    let tail: Vec<&str> = log.lines().rev().take(12).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    format!("\n{}\n{tail}\n", information.text().replace('\r', ""))
}
