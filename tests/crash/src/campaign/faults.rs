//! Injection of faults into a running lane, a given number of times.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::engines::Engines;
use crate::lane::{Fault, Guarantee, Input};
use crate::libraries;
use crate::random::Random;
use crate::world::World;
use crate::world::engine::{Engine, Run};
use crate::world::proxy::Trouble;

/// Time limit for a fenced engine to end.
const FENCED: Duration = Duration::from_secs(20);

/// Time after which a network fault ends although it hit nothing. An engine that waits for a lost reply sends nothing
/// until its time limit is over.
const QUIET: Duration = Duration::from_secs(2);

/// Maximum number of bytes torn off the append-only file.
const TORN: u64 = 8192;

/// Result of an injection.
#[derive(Debug)]
pub(crate) struct Injected {
    /// The engines, running.
    pub(crate) engines: Engines,
    /// Number of faults that hit a lane which had delivered something since the previous fault.
    pub(crate) working: u64,
}

/// Injects the fault of the trial `times` times.
///
/// # Errors
/// If the engine ends without a reason, or the injection fails.
pub(crate) fn inject(world: &mut World, times: u64) -> Result<Injected> {
    match world.trial.fault {
        Fault::Engine => kill_engine(world, times),
        Fault::Plugin => kill_plugin(world, times),
        Fault::Freeze if world.trial.lane.input == Input::Group => freeze_workers(world, times),
        Fault::Freeze => freeze(world, times),
        Fault::Network => disturb(world, times),
        Fault::WrongType => take_key(world, times),
        _ => kill_redis(world, times),
    }
}

/// Lifetimes of the engine or the server. Some end during the start, most during work. On a slow machine they are
/// stretched until most of them deliver something.
struct Pace {
    percent: u32,
    idle: u32,
}

impl Pace {
    fn life(&self, random: &mut Random) -> Duration {
        let life = match random.within(0..4) {
            0 => random.millis(0..12),
            1 => random.millis(10..100),
            // The engine stores positions every 100 ms, and a run has to store some.
            _ => random.millis(100..260),
        };
        life * self.percent / 100
    }

    fn learn(&mut self, worked: bool) {
        self.idle = if worked { 0 } else { self.idle + 1 };
        if self.idle >= 4 {
            self.idle = 0;
            self.percent = (self.percent * 3 / 2).min(3000);
        }
    }
}

fn kill_engine(world: &mut World, times: u64) -> Result<Injected> {
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    let mut engines = Engines::start(world)?;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.random);
        world.feed_for(life)?;
        let worker = engines.choose(world);
        engines.kill(world, worker)?;
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
    }
    Ok(Injected { engines, working })
}

fn kill_plugin(world: &mut World, times: u64) -> Result<Injected> {
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    let mut engines = Engines::start(world)?;
    // A process that is killed while the pipeline file is checked makes its plugin invalid.
    world.all_there(&engines.ids())?;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.random);
        world.feed_for(life)?;
        let worker = engines.choose(world);
        // Restarts of a plugin back off; a restart of the engine resets that.
        if world.random.one_in(6) {
            engines.kill(world, worker)?;
            world.all_there(&engines.ids()[engines.ids().len() - 1..])?;
        } else {
            kill_process_of(world, engines.run(worker).id())?;
        }
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
    }
    Ok(Injected { engines, working })
}

/// Kills one of the plugin processes of this engine, as soon as there is one.
fn kill_process_of(world: &mut World, engine: u32) -> Result<()> {
    let deadline = Instant::now() + FENCED;
    loop {
        let processes: Vec<u32> = libraries::processes(engine).into_iter().collect();
        if !processes.is_empty() {
            let chosen = world.random.one_of(&processes);
            let chosen = Pid::from_raw(chosen.cast_signed()).context("a process has a number")?;
            // The process may have ended already.
            let _ = kill_process(chosen, Signal::KILL);
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no plugin runs in its own process:\n{}", world.engine.log_tail());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill_redis(world: &mut World, times: u64) -> Result<Injected> {
    let mut engines = Engines::start(world)?;
    // A server without any record of the lane stops it, by design. It must forget only the newest records.
    world.fresh_event()?;
    if world.trial.fault == Fault::RedisSnapshots {
        world.redis()?.query(["SAVE"]);
    }
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.random);
        world.feed_for(life)?;
        if world.trial.fault == Fault::RedisSnapshots && world.random.one_in(2) {
            // An error means that a snapshot is being written already.
            world.redis()?.query(["BGSAVE"]);
            let saved = world.random.millis(1..20);
            world.feed_for(saved)?;
        }
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
        world.redis()?.kill();
        if world.trial.fault == Fault::RedisTorn {
            tear(world)?;
        }
        let down = world.random.millis(0..30);
        world.feed_for(down)?;
        if world.random.one_in(8) {
            let worker = engines.choose(world);
            engines.kill(world, worker)?;
        }
        world.redis()?.restart();
    }
    Ok(Injected { engines, working })
}

/// Truncates the append-only file of the server at a random byte near its end, as a power loss does.
fn tear(world: &mut World) -> Result<()> {
    let torn = world.random.within(0..TORN);
    let folder = world.redis()?.folder().join("appendonlydir");
    let mut newest: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            newest.push(path);
        }
    }
    // During a rewrite there are two files. The server appends to the one that changed last.
    newest.sort_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    if let Some(path) = newest.last() {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(file.metadata()?.len().saturating_sub(torn))?;
    }
    Ok(())
}

fn disturb(world: &mut World, times: u64) -> Result<Injected> {
    const KINDS: [Trouble; 7] = [
        Trouble::Delay(Duration::from_millis(20)),
        // Longer than the time limit of the engine.
        Trouble::Delay(Duration::from_millis(400)),
        Trouble::Cut,
        Trouble::HalfOpen,
        Trouble::Split,
        Trouble::DropReply,
        Trouble::Garble,
    ];
    // A corrupted entry is a different, valid entry. Only TLS detects that.
    let kinds = match world.trial.lane.input {
        Input::File => &KINDS[..],
        Input::Group | Input::Ids => &KINDS[..KINDS.len() - 1],
    };
    let engines = Engines::start(world)?;
    let mut working = 0;
    for index in 0..times {
        let calm = world.random.millis(5..40);
        world.feed_for(calm)?;
        // Each kind occurs once; the rest is random.
        let kind = match kinds.get(index as usize) {
            Some(kind) => *kind,
            None => world.random.one_of(kinds),
        };
        working += u64::from(disturb_once(world, kind)?);
    }
    Ok(Injected { engines, working })
}

/// Disturbs the network until some bytes are hit, and a little longer. False if none were.
fn disturb_once(world: &mut World, kind: Trouble) -> Result<bool> {
    let set = |world: &World, kind| {
        let proxy = world.proxy.as_ref().context("the network fault has a proxy")?;
        proxy.set(kind);
        Ok::<_, anyhow::Error>(proxy.struck())
    };
    let before = set(world, kind)?;
    let deadline = Instant::now() + QUIET;
    while set(world, kind)? == before && Instant::now() < deadline {
        world.feed_for(Duration::from_millis(2))?;
    }
    let time = world.random.millis(0..60);
    world.feed_for(time)?;
    Ok(set(world, Trouble::None)? > before)
}

/// Replaces the destination key with a text for a moment, as another program may do.
fn take_key(world: &mut World, times: u64) -> Result<Injected> {
    const TAKE: &str = "redis.call('RENAME', 'crash', 'aside') redis.call('SET', 'crash', 'text') return 1";
    const GIVE: &str = "redis.call('RENAME', 'aside', 'crash') return 1";
    let engines = Engines::start(world)?;
    world.fresh_event()?;
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = world.random.millis(5..60);
        world.feed_for(life)?;
        working += u64::from(world.destination().length()? != before);
        for (script, pause) in [(TAKE, 5..80), (GIVE, 0..1)] {
            let done = world.redis()?.query(["EVAL", script, "0"]);
            ensure!(done.integer() == Some(1), "the key cannot be moved: {done:?}");
            let pause = world.random.millis(pause);
            world.feed_for(pause)?;
        }
    }
    Ok(Injected { engines, working })
}

/// Freezes the engine. If its sink can fence, another instance with its own state takes over, and the first one has to
/// notice that when it resumes. Otherwise the frozen engine is sometimes killed.
fn freeze(world: &mut World, times: u64) -> Result<Injected> {
    let takes_over =
        world.trial.guarantee == Guarantee::EffectivelyOnce && world.trial.lane.shape.is_in_redis();
    let mut run = world.engine.start()?;
    // An engine that is frozen before it claims its lanes may claim them when it resumes.
    world.fresh_event()?;
    let mut working = 0;
    for index in 0..times {
        let before = world.destination().length()?;
        let life = world.random.millis(20..120);
        world.feed_for(life)?;
        run.freeze();
        working += u64::from(world.destination().length()? != before);
        let frozen = world.random.millis(1..60);
        world.feed_for(frozen)?;
        if takes_over {
            run = take_over(world, run, index)?;
        } else if world.random.one_in(4) {
            world.kill(run)?;
            run = world.engine.start()?;
        } else {
            run.resume();
        }
    }
    Ok(Injected { engines: Engines::of(world.engine.clone(), run), working })
}

/// Freezes a worker, usually for longer than the others wait before they claim its entries. Then resumes or kills it.
fn freeze_workers(world: &mut World, times: u64) -> Result<Injected> {
    let mut engines = Engines::start(world)?;
    world.fresh_event()?;
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = world.random.millis(20..120);
        world.feed_for(life)?;
        let worker = engines.choose(world);
        engines.run(worker).freeze();
        let frozen = world.random.millis(50..500);
        world.feed_for(frozen)?;
        working += u64::from(world.destination().length()? != before);
        if world.random.one_in(4) {
            engines.kill(world, worker)?;
        } else {
            engines.run(worker).resume();
        }
    }
    Ok(Injected { engines, working })
}

fn take_over(world: &mut World, frozen: Run, index: u64) -> Result<Run> {
    let data = world.engine.folder().join(format!("data-{index}"));
    let other = Engine { data, ..world.engine.clone() };
    let run = other.start()?;
    world.fresh_event()?;
    frozen.resume();
    let deadline = Instant::now() + FENCED;
    let mut frozen = frozen;
    while frozen.ended()?.is_none() {
        ensure!(Instant::now() < deadline, "an engine whose lane was taken over continues");
        // An engine without anything to write does not notice.
        world.send(1)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    world.engine = other;
    Ok(run)
}
