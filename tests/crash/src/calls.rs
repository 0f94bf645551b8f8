//! Every system call of a short run as a crash point, and as a call that fails.
//!
//! `strace` counts calls for each thread by itself, so "the fifth `write`" is that of the first thread that
//! gets there, and which thread writes is up to the engine's pool. So a point may not be met, and which call
//! of all it is differs from run to run; what was met is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::campaign::Outcome;
use crate::chance::Chance;
use crate::destination::Shape;
use crate::engine::Run;
use crate::lane::{Guarantee, READ_BATCH};
use crate::world::{Trial, World};

/// How many batches of the sink's size the run has.
const BATCHES: u64 = 50;

/// From so many points on, a fourth of them has to be met: a tracer that does nothing is to be noticed.
const ENOUGH: u64 = 12;

/// The calls at which the engine dies.
const DEADLY: &[&str] =
    &["write", "fdatasync", "fsync", "rename", "sendto", "sendmsg", "ftruncate", "unlink", "openat"];

/// The calls that fail, and how. Only those on files that hold events or positions.
const FAILING: &[(&str, &str)] = &[
    ("write", "ENOSPC"),
    ("write", "EIO"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("fsync", "EIO"),
    ("rename", "EIO"),
    ("rename", "ENOSPC"),
];

/// One thing that is done to one call.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: &'static str,
    /// `signal=KILL`, or an error.
    what: &'static str,
    when: u64,
}

/// Dies at, or fails, each call of a run; `times` says how many of these points are tried, spread evenly, and
/// 0 that all are.
///
/// # Errors
/// If `strace` does not work.
pub(crate) fn enumerate(trial: &Trial, seed: u64, times: u64, outcome: &mut Outcome) -> Result<()> {
    let mut points = Vec::new();
    for (call, count) in count(trial, seed)? {
        points.extend((1..=count).map(|when| Point { call, what: "signal=KILL", when }));
        for (_, what) in FAILING.iter().filter(|(failing, _)| *failing == call) {
            points.extend((1..=count).map(|when| Point { call, what, when }));
        }
    }
    ensure!(points.len() > 50, "a run has only {} points to die at", points.len());
    // The first one of a part is chosen by the seed, so that many short campaigns find other points.
    let step = if times == 0 { 1 } else { (points.len() as u64).div_ceil(times) };
    let first = Chance::new(seed).within(0..step);
    for point in points.iter().skip(first as usize).step_by(step as usize) {
        one(trial, seed, *point, outcome).with_context(|| format!("{point:?}"))?;
    }
    if outcome.faults >= ENOUGH && outcome.working * 4 < outcome.faults {
        outcome.problems.push(format!(
            "only {} of {} points were met, which proves nothing",
            outcome.working, outcome.faults
        ));
    }
    Ok(())
}

/// How many calls of each kind the busiest thread makes.
fn count(trial: &Trial, seed: u64) -> Result<Vec<(&'static str, u64)>> {
    let world = prepared(trial, seed)?;
    let trace = world.engine.folder().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "--seccomp-bpf", "-o"])
        .arg(&trace)
        .arg(format!("--trace={}", DEADLY.join(",")));
    let status = traced(&world, strace)?.wait()?;
    ensure!(status.success(), "a run under strace ends with {status}:\n{}", world.engine.log_tail());
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let text = fs::read_to_string(&trace)?;
    for (thread, call) in calls(&text) {
        *counts.entry((call, thread)).or_default() += 1;
    }
    if trial.lane.shape == Shape::File {
        let synced = calls(&text).filter(|(_, call)| *call == "fdatasync").count() as u64;
        // What is not asked for cannot be seen to be missing after `kill -9`, which spares the page cache.
        // Effectively once, the record of each is made durable too.
        let needed = BATCHES * if trial.guarantee == Guarantee::EffectivelyOnce { 2 } else { 1 };
        ensure!(
            synced >= needed,
            "{BATCHES} batches need {needed} calls of fdatasync, and there were {synced}"
        );
    }
    let largest = |call: &&'static str| {
        let of_call = counts.iter().filter(|((known, _), _)| known == call);
        (*call, of_call.map(|(_, count)| *count).max().unwrap_or_default())
    };
    Ok(DEADLY.iter().map(largest).collect())
}

/// The thread and the name of each call in a trace. Halves of calls that another interrupted are passed over.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace.lines().filter_map(|line| {
        let (thread, rest) = line.split_once(char::is_whitespace)?;
        let (call, _) = rest.trim_start().split_once('(')?;
        Some((thread, call))
    })
}

/// Whether each file that could not be made durable was opened anew, or cut, before it was made durable again:
/// the kernel may have dropped its pages, and reports that only once.
fn was_reopened(trace: &str) -> bool {
    let (mut broken, mut asked) = (BTreeSet::new(), BTreeMap::new());
    for (thread, rest) in trace.lines().filter_map(|line| line.split_once(char::is_whitespace)) {
        let rest = rest.trim_start();
        let first = |call| Some(rest.strip_prefix(call)?.split([',', ')', ' ']).next().unwrap_or_default());
        if let Some(file) = first("fdatasync(") {
            if broken.contains(file) {
                return false;
            }
            asked.insert(thread, file);
        }
        if let Some(file) = first("ftruncate(") {
            broken.remove(file);
        }
        if let (true, Some((_, file))) = (rest.contains("openat"), rest.rsplit_once(" = ")) {
            broken.remove(file);
        }
        // The second half of a call that another one interrupted names its thread only.
        if let (true, Some(file)) = (rest.contains("(INJECTED)"), asked.get(thread)) {
            broken.insert(*file);
        }
    }
    true
}

/// A world whose input is complete.
fn prepared(trial: &Trial, seed: u64) -> Result<World> {
    let mut world = World::new(trial, seed, false)?;
    world.send(BATCHES * READ_BATCH)?;
    Ok(world)
}

/// Starts the engine under `strace`.
fn traced(world: &World, mut strace: Command) -> Result<Run> {
    strace.arg(&world.engine.binary);
    // One worker makes the calls of a run, and so the points in it, more alike from run to run.
    strace.env("TOKIO_WORKER_THREADS", "1");
    world.engine.start_under(strace)
}

fn one(trial: &Trial, seed: u64, point: Point, outcome: &mut Outcome) -> Result<()> {
    let mut world = prepared(trial, seed)?;
    let Point { call, what, when } = point;
    let mut strace = Command::new("strace");
    let deadly = what == "signal=KILL";
    let inject = if deadly { what.to_owned() } else { format!("error={what}") };
    strace.args(["-f", "-qq", "-o"]).arg(world.engine.folder().join("trace"));
    if !deadly {
        // An error of a call that wakes a thread or writes to a terminal is none that a disk makes.
        for path in world.files() {
            strace.arg("-P").arg(path);
        }
    }
    // What stops at the chosen calls only is faster, but then `strace` sends no signal at any but the first of them.
    if !deadly {
        strace.arg("--seccomp-bpf");
    }
    let sync_fails = !deadly && call == "fdatasync";
    let seen = if sync_fails { "fdatasync,openat,ftruncate" } else { call };
    strace.arg(format!("--trace={seen}")).arg(format!("--inject={call}:{inject}:when={when}"));
    let status = traced(&world, strace)?.wait()?;
    outcome.faults += 1;
    let trace = fs::read_to_string(world.engine.folder().join("trace"))?;
    let met = if deadly { !status.success() } else { trace.contains("(INJECTED)") };
    outcome.working += u64::from(met);
    let since = Instant::now();
    let mut problems = Vec::new();
    if !status.success()
        && let Err(error) = finish(&mut world)
    {
        problems.push(format!("{error:#}"));
    }
    if sync_fails && !was_reopened(&trace) {
        problems.push("a file that could not be made durable was synchronised again".to_owned());
    }
    outcome.fresh = outcome.fresh.max(since.elapsed());
    outcome.judge(trial, world, &format!("{call} {inject} {when}"), problems)
}

/// Runs again, to the end.
fn finish(world: &mut World) -> Result<()> {
    let status = world.engine.start()?.wait()?;
    if !status.success() {
        bail!("the next run ends with {status}:\n{}", world.engine.log_tail());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_thread() {
        let trace = "12 write(3, \"a(b\", 4) = 4\n13  fdatasync(3 <unfinished ...>\n13  <... fdatasync resumed>) = 0\n";
        assert_eq!(calls(trace).collect::<Vec<_>>(), [("12", "write"), ("13", "fdatasync")]);
    }

    #[test]
    fn a_retried_fsync_is_noticed() {
        let failed = "1 fdatasync(9) = 0\n1 fdatasync(9) = -1 EIO (Input/output error) (INJECTED)\n";
        assert!(!was_reopened(&format!("{failed}1 fdatasync(9) = 0\n")));
        assert!(was_reopened(&format!("{failed}1 openat(AT_FDCWD, \"x\") = 9\n1 fdatasync(9) = 0\n")));
        assert!(was_reopened(failed), "the run that ends there has not");
        assert!(
            was_reopened(&format!("{failed}2 fdatasync(8) = 0\n")),
            "another file is none of its business"
        );
        let halves = "1 fdatasync(9 <unfinished ...>\n2 fdatasync(8) = 0\n1 <... fdatasync resumed>) = -1 EIO (INJECTED)\n";
        assert!(!was_reopened(&format!("{halves}2 fdatasync(9) = 0\n")));
        assert!(was_reopened(&format!("{halves}2 ftruncate(9, 0) = 0\n2 fdatasync(9) = 0\n")));
    }
}
