//! What is done to a running lane, a given number of times.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::chance::Chance;
use crate::crew::Crew;
use crate::engine::{Engine, Run};
use crate::lane::{Fault, Guarantee, Input};
use crate::libraries;
use crate::proxy::Trouble;
use crate::world::World;

/// How long a fenced engine may take to end.
const FENCED: Duration = Duration::from_secs(20);

/// How long the network may have nothing to do before its trouble passes. An engine that waits for an answer
/// that will not come has nothing to say until its time limit is over.
const STRUCK: Duration = Duration::from_secs(2);

/// How many bytes are torn off the end of the append-only file, at most.
const TORN: u64 = 8192;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Struck {
    /// The engines, which run.
    pub(crate) crew: Crew,
    /// How many of the faults met a lane that had delivered something since the one before.
    pub(crate) working: u64,
}

/// Does the fault of the world's trial `times` times.
///
/// # Errors
/// If the engine ends where nothing gave it a reason to, or what the fault needs fails.
pub(crate) fn strike(world: &mut World, times: u64) -> Result<Struck> {
    match world.trial.fault {
        Fault::Engine => kill_engine(world, times),
        Fault::Plugin => kill_plugin(world, times),
        Fault::Freeze if world.trial.lane.input == Input::Group => freeze_workers(world, times),
        Fault::Freeze => freeze(world, times),
        Fault::Network => trouble(world, times),
        Fault::WrongType => take_key(world, times),
        _ => kill_redis(world, times),
    }
}

/// How long the engine or the server lives: now and then it is killed while it starts, mostly at work. Where
/// the machine is slow, lives are stretched until most of them deliver something.
struct Pace {
    percent: u32,
    idle: u32,
}

impl Pace {
    fn life(&self, chance: &mut Chance) -> Duration {
        let life = match chance.within(0..4) {
            0 => chance.millis(0..12),
            1 => chance.millis(10..100),
            // The engine stores its positions every 100 ms, and a run is to have some of its own.
            _ => chance.millis(100..260),
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

fn kill_engine(world: &mut World, times: u64) -> Result<Struck> {
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    let mut crew = Crew::start(world)?;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.chance);
        world.feed_for(life)?;
        let worker = crew.choose(world);
        crew.kill(world, worker)?;
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
    }
    Ok(Struck { crew, working })
}

fn kill_plugin(world: &mut World, times: u64) -> Result<Struck> {
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    let mut crew = Crew::start(world)?;
    // A plugin whose process is killed while the engine looks at the pipeline file is one that does not work.
    world.all_there(&crew.ids())?;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.chance);
        world.feed_for(life)?;
        let worker = crew.choose(world);
        // One that breaks again and again is made anew after growing pauses, until its engine is.
        if world.chance.one_in(6) {
            crew.kill(world, worker)?;
            world.all_there(&crew.ids()[crew.ids().len() - 1..])?;
        } else {
            kill_process_of(world, crew.run(worker).id())?;
        }
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
    }
    Ok(Struck { crew, working })
}

/// Kills one of the processes in which plugins of this engine run, as soon as there is one.
fn kill_process_of(world: &mut World, engine: u32) -> Result<()> {
    let deadline = Instant::now() + FENCED;
    loop {
        let processes: Vec<u32> = libraries::processes(engine).into_iter().collect();
        if !processes.is_empty() {
            let chosen = world.chance.one_of(&processes);
            let chosen = Pid::from_raw(chosen.cast_signed()).context("a process has a number")?;
            // One that has ended by itself is as good.
            let _ = kill_process(chosen, Signal::KILL);
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no plugin runs in a process of its own:\n{}",
            world.engine.log_tail()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill_redis(world: &mut World, times: u64) -> Result<Struck> {
    let mut crew = Crew::start(world)?;
    // A server that has forgotten a lane altogether stops it, and rightly so. It is to forget its end only.
    world.fresh_event()?;
    if world.trial.fault == Fault::RedisSnapshots {
        world.redis()?.query(["SAVE"]);
    }
    let mut pace = Pace { percent: 100, idle: 0 };
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = pace.life(&mut world.chance);
        world.feed_for(life)?;
        if world.trial.fault == Fault::RedisSnapshots && world.chance.one_in(2) {
            // That one is under way already is an answer too.
            world.redis()?.query(["BGSAVE"]);
            let saved = world.chance.millis(1..20);
            world.feed_for(saved)?;
        }
        let worked = world.destination().length()? != before;
        working += u64::from(worked);
        pace.learn(worked);
        world.redis()?.kill();
        if world.trial.fault == Fault::RedisTorn {
            tear(world)?;
        }
        let down = world.chance.millis(0..30);
        world.feed_for(down)?;
        if world.chance.one_in(8) {
            let worker = crew.choose(world);
            crew.kill(world, worker)?;
        }
        world.redis()?.restart();
    }
    Ok(Struck { crew, working })
}

/// Tears the server's append-only file at a random byte near its end, as a machine that loses power does.
fn tear(world: &mut World) -> Result<()> {
    let torn = world.chance.within(0..TORN);
    let folder = world.redis()?.folder().join("appendonlydir");
    let mut newest: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            newest.push(path);
        }
    }
    // While it is written anew there are two, and the one that is written to is the one changed last.
    newest.sort_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    if let Some(path) = newest.last() {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(file.metadata()?.len().saturating_sub(torn))?;
    }
    Ok(())
}

fn trouble(world: &mut World, times: u64) -> Result<Struck> {
    const KINDS: [Trouble; 7] = [
        Trouble::Delay(Duration::from_millis(20)),
        // Longer than the engine waits for an answer.
        Trouble::Delay(Duration::from_millis(400)),
        Trouble::Cut,
        Trouble::HalfOpen,
        Trouble::Split,
        Trouble::DropReply,
        Trouble::Garble,
    ];
    // Bytes of an entry that are others on their way are another entry: without TLS nobody can tell.
    let kinds = match world.trial.lane.input {
        Input::File => &KINDS[..],
        Input::Group => &KINDS[..KINDS.len() - 1],
    };
    let crew = Crew::start(world)?;
    let mut working = 0;
    for index in 0..times {
        let calm = world.chance.millis(5..40);
        world.feed_for(calm)?;
        // Each kind comes once before chance chooses.
        let kind = match kinds.get(index as usize) {
            Some(kind) => *kind,
            None => world.chance.one_of(kinds),
        };
        working += u64::from(strike_network(world, kind)?);
    }
    Ok(Struck { crew, working })
}

/// Troubles the network until something was met by it, and a while longer. False if nothing was.
fn strike_network(world: &mut World, kind: Trouble) -> Result<bool> {
    let set = |world: &World, kind| {
        let proxy = world.proxy.as_ref().context("the network fault has a proxy")?;
        proxy.set(kind);
        Ok::<_, anyhow::Error>(proxy.struck())
    };
    let before = set(world, kind)?;
    let deadline = Instant::now() + STRUCK;
    while set(world, kind)? == before && Instant::now() < deadline {
        world.feed_for(Duration::from_millis(2))?;
    }
    let time = world.chance.millis(0..60);
    world.feed_for(time)?;
    Ok(set(world, Trouble::None)? > before)
}

/// Puts a text in the place of the key that is written to, for a moment, as somebody else's program does.
fn take_key(world: &mut World, times: u64) -> Result<Struck> {
    const TAKE: &str = "redis.call('RENAME', 'crash', 'aside') redis.call('SET', 'crash', 'text') return 1";
    const GIVE: &str = "redis.call('RENAME', 'aside', 'crash') return 1";
    let crew = Crew::start(world)?;
    world.fresh_event()?;
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = world.chance.millis(5..60);
        world.feed_for(life)?;
        working += u64::from(world.destination().length()? != before);
        for (script, pause) in [(TAKE, 5..80), (GIVE, 0..1)] {
            let done = world.redis()?.query(["EVAL", script, "0"]);
            ensure!(done.integer() == Some(1), "the key cannot be moved: {done:?}");
            let pause = world.chance.millis(pause);
            world.feed_for(pause)?;
        }
    }
    Ok(Struck { crew, working })
}

/// Freezes the engine. Where its sink can fence, another instance takes over meanwhile, with a state of its
/// own, and the first one has to notice when it goes on; else it is killed now and then while it is frozen.
fn freeze(world: &mut World, times: u64) -> Result<Struck> {
    let takes_over =
        world.trial.guarantee == Guarantee::EffectivelyOnce && world.trial.lane.shape.is_in_redis();
    let mut run = world.engine.start()?;
    // One that is frozen before it has claimed its lanes would rightly claim them when it goes on.
    world.fresh_event()?;
    let mut working = 0;
    for index in 0..times {
        let before = world.destination().length()?;
        let life = world.chance.millis(20..120);
        world.feed_for(life)?;
        run.freeze();
        working += u64::from(world.destination().length()? != before);
        let frozen = world.chance.millis(1..60);
        world.feed_for(frozen)?;
        if takes_over {
            run = take_over(world, run, index)?;
        } else if world.chance.one_in(4) {
            world.kill(run)?;
            run = world.engine.start()?;
        } else {
            run.thaw();
        }
    }
    Ok(Struck { crew: Crew::of(world.engine.clone(), run), working })
}

/// Freezes a worker, mostly for longer than the others wait before they take over what it had in its hands; then
/// it goes on with that, or is killed.
fn freeze_workers(world: &mut World, times: u64) -> Result<Struck> {
    let mut crew = Crew::start(world)?;
    world.fresh_event()?;
    let mut working = 0;
    for _ in 0..times {
        let before = world.destination().length()?;
        let life = world.chance.millis(20..120);
        world.feed_for(life)?;
        let worker = crew.choose(world);
        crew.run(worker).freeze();
        let frozen = world.chance.millis(50..500);
        world.feed_for(frozen)?;
        working += u64::from(world.destination().length()? != before);
        match world.chance.one_in(4) {
            true => crew.kill(world, worker)?,
            false => crew.run(worker).thaw(),
        }
    }
    Ok(Struck { crew, working })
}

fn take_over(world: &mut World, frozen: Run, index: u64) -> Result<Run> {
    let data = world.engine.folder().join(format!("data-{index}"));
    let other = Engine { data, ..world.engine.clone() };
    let run = other.start()?;
    world.fresh_event()?;
    frozen.thaw();
    let deadline = Instant::now() + FENCED;
    let mut frozen = frozen;
    while frozen.ended()?.is_none() {
        ensure!(Instant::now() < deadline, "an engine whose lane was taken over goes on");
        // It may have nothing to write, and then it need not notice.
        world.send(1)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    world.engine = other;
    Ok(run)
}
