//! Every system call of a short run as a crash point, and as a call that fails.
//!
//! `strace` counts calls per thread, so "the fifth `write`" is that of the first thread that reaches five. The thread
//! pool of the engine decides which thread writes. A point is therefore missed in some runs; the points that were hit
//! are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::campaign::outcome::Outcome;
use crate::lane::Guarantee;
use crate::random::Random;
use crate::trial::{READ_BATCH, Trial};
use crate::world::World;
use crate::world::destination::Shape;
use crate::world::engine::Run;

/// Number of sink batches in a run.
const BATCHES: u64 = 50;

/// From this number of points on, a quarter of them must be hit. This detects a tracer that does nothing.
const ENOUGH: u64 = 12;

/// Calls at which the engine is killed.
const DEADLY: &[&str] =
    &["write", "fdatasync", "fsync", "rename", "sendto", "sendmsg", "ftruncate", "unlink", "openat"];

/// Calls that fail, with their errors. Only calls on files that hold events or positions.
const FAILING: &[(&str, &str)] = &[
    ("write", "ENOSPC"),
    ("write", "EIO"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("fsync", "EIO"),
    ("rename", "EIO"),
    ("rename", "ENOSPC"),
];

/// A fault at a single call.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: &'static str,
    /// `signal=KILL`, or an error.
    what: &'static str,
    when: u64,
}

/// Kills the engine at, or fails, each call of a run. `times` is the number of points, spread evenly; 0 means all.
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
    // The seed chooses the first point, so that short campaigns with other seeds cover other points.
    let step = if times == 0 { 1 } else { (points.len() as u64).div_ceil(times) };
    let first = Random::new(seed).within(0..step);
    for point in points.iter().skip(first as usize).step_by(step as usize) {
        try_point(trial, seed, *point, outcome).with_context(|| format!("{point:?}"))?;
    }
    if outcome.faults >= ENOUGH && outcome.working * 4 < outcome.faults {
        outcome.problems.push(format!(
            "only {} of {} points were hit, which proves nothing",
            outcome.working, outcome.faults
        ));
    }
    Ok(())
}

/// Number of calls of each kind in the busiest thread.
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
        // `kill -9` keeps the page cache, so a missing `fdatasync` loses nothing and must be counted instead.
        // With effectively once, each record is synchronised too.
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

/// Thread and name of each call in a trace, without the second halves of interrupted calls.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace.lines().filter_map(|line| {
        let (thread, rest) = line.split_once(char::is_whitespace)?;
        let (call, _) = rest.trim_start().split_once('(')?;
        Some((thread, call))
    })
}

/// True if each file whose `fdatasync` failed was opened again, or truncated, before the next `fdatasync`. The kernel
/// may have dropped its pages, and reports that only once.
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
        // A closed file has to be opened again, whichever call does that.
        if let Some(file) = first("ftruncate(").or_else(|| first("close(")) {
            broken.remove(file);
        }
        if let (true, Some((_, file))) = (rest.contains("openat"), rest.rsplit_once(" = ")) {
            broken.remove(file);
        }
        // The second half of an interrupted call names its thread only.
        if let (true, Some(file)) = (rest.contains("(INJECTED)"), asked.get(thread)) {
            broken.insert(*file);
        }
    }
    true
}

/// Creates a world whose input is complete.
fn prepared(trial: &Trial, seed: u64) -> Result<World> {
    let mut world = World::new(trial, seed, false)?;
    world.send(BATCHES * READ_BATCH)?;
    Ok(world)
}

/// Starts the engine under `strace`.
fn traced(world: &World, mut strace: Command) -> Result<Run> {
    strace.arg(&world.engine.binary);
    // With one worker, the calls of a run differ less from run to run.
    strace.env("TOKIO_WORKER_THREADS", "1");
    world.engine.start_under(strace)
}

fn try_point(trial: &Trial, seed: u64, point: Point, outcome: &mut Outcome) -> Result<()> {
    let mut world = prepared(trial, seed)?;
    let Point { call, what, when } = point;
    let mut strace = Command::new("strace");
    let deadly = what == "signal=KILL";
    let inject = if deadly { what.to_owned() } else { format!("error={what}") };
    strace.args(["-f", "-qq", "-o"]).arg(world.engine.folder().join("trace"));
    if !deadly {
        // Only calls on these files fail: a disk does not fail a call that wakes a thread or writes to a terminal.
        for path in world.files() {
            strace.arg("-P").arg(path);
        }
    }
    // Stopping at the chosen calls only is faster, but then `strace` sends a signal at the first of them only.
    if !deadly {
        strace.arg("--seccomp-bpf");
    }
    let sync_fails = !deadly && call == "fdatasync";
    let seen = if sync_fails { "fdatasync,openat,ftruncate,close" } else { call };
    strace.arg(format!("--trace={seen}")).arg(format!("--inject={call}:{inject}:when={when}"));
    let status = traced(&world, strace)?.wait()?;
    outcome.faults += 1;
    let trace = fs::read_to_string(world.engine.folder().join("trace"))?;
    let hit = if deadly { !status.success() } else { trace.contains("(INJECTED)") };
    outcome.working += u64::from(hit);
    let since = Instant::now();
    let mut problems = Vec::new();
    if !status.success()
        && let Err(error) = finish(&mut world)
    {
        problems.push(format!("{error:#}"));
    }
    if sync_fails && !was_reopened(&trace) {
        problems.push("a file whose `fdatasync` failed was synchronised again".to_owned());
    }
    outcome.fresh = outcome.fresh.max(since.elapsed());
    outcome.judge(trial, world, &format!("{call} {inject} {when}"), problems)
}

/// Runs the engine again, to the end.
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
    fn calls_are_listed_with_their_thread() {
        let trace = "12 write(3, \"a(b\", 4) = 4\n13  fdatasync(3 <unfinished ...>\n13  <... fdatasync resumed>) = 0\n";
        assert_eq!(calls(trace).collect::<Vec<_>>(), [("12", "write"), ("13", "fdatasync")]);
    }

    #[test]
    fn retried_fsync_is_noticed() {
        let failed = "1 fdatasync(9) = 0\n1 fdatasync(9) = -1 EIO (Input/output error) (INJECTED)\n";
        assert!(!was_reopened(&format!("{failed}1 fdatasync(9) = 0\n")));
        assert!(was_reopened(&format!("{failed}1 openat(AT_FDCWD, \"x\") = 9\n1 fdatasync(9) = 0\n")));
        assert!(was_reopened(&format!("{failed}1 close(9) = 0\n1 fdatasync(9) = 0\n")));
        assert!(!was_reopened(&format!("{failed}1 close(8) = 0\n1 fdatasync(9) = 0\n")));
        assert!(was_reopened(failed), "the run that ends there has not");
        assert!(was_reopened(&format!("{failed}2 fdatasync(8) = 0\n")), "another file does not matter");
        let halves = "1 fdatasync(9 <unfinished ...>\n2 fdatasync(8) = 0\n1 <... fdatasync resumed>) = -1 EIO (INJECTED)\n";
        assert!(!was_reopened(&format!("{halves}2 fdatasync(9) = 0\n")));
        assert!(was_reopened(&format!("{halves}2 ftruncate(9, 0) = 0\n2 fdatasync(9) = 0\n")));
    }
}
