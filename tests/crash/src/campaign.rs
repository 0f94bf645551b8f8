//! Rounds of faults, and their combined outcome.

/// Faults at each system call.
mod calls;
/// The engines of a lane.
mod engines;
/// Injection of every other fault.
mod faults;
/// Counts and violations.
pub(crate) mod outcome;

use std::time::Instant;

use anyhow::Result;

use faults::{Injected, inject};
use outcome::Outcome;

use crate::lane::Fault;
use crate::trial::Trial;
use crate::world::World;

/// Number of faults in a round. A round ends with a count of all events, and the next one starts from scratch.
const ROUND: u64 = 50;

/// Injects a fault `times` times, in rounds.
///
/// # Errors
/// If the campaign itself fails. Faults of the engine are in the outcome.
pub fn campaign(trial: &Trial, seed: u64, times: u64) -> Result<Outcome> {
    let since = Instant::now();
    let mut outcome = Outcome { unsupported: refusal(trial)?, ..Outcome::default() };
    if outcome.unsupported.is_some() {
        return Ok(outcome);
    }
    if trial.fault == Fault::Calls {
        calls::enumerate(trial, seed, times, &mut outcome)?;
    } else {
        let mut left = times;
        // Each round has its own seed, so that one round can be repeated alone.
        for round in (seed..).take(times.div_ceil(ROUND) as usize) {
            let now = left.min(ROUND);
            left -= now;
            one_round(trial, round, now, &mut outcome)?;
        }
    }
    outcome.elapsed = since.elapsed();
    Ok(outcome)
}

/// Reason why the engine, or this machine, does not run the trial.
fn refusal(trial: &Trial) -> Result<Option<String>> {
    if trial.fault == Fault::Calls && !tidegate_servers::machine::can_trace() {
        return Ok(Some("`strace` is missing, or may not trace".to_owned()));
    }
    World::new(trial, 0, true)?.engine.refusal()
}

fn one_round(trial: &Trial, seed: u64, times: u64, outcome: &mut Outcome) -> Result<()> {
    let mut world = World::new(trial, seed, true)?;
    outcome.faults += times;
    let problems = match inject_and_recover(&mut world, times, outcome) {
        Ok(problems) => problems,
        Err(error) => {
            // The content of the server is checked nevertheless.
            if let (Some(redis), Some(_)) = (&mut world.redis, trial.fault.settings()) {
                redis.restart();
            }
            vec![format!("{error:#}")]
        }
    };
    outcome.judge(trial, world, &format!("seed {seed}"), problems)
}

fn inject_and_recover(world: &mut World, times: u64, outcome: &mut Outcome) -> Result<Vec<String>> {
    let Injected { engines, working } = inject(world, times)?;
    outcome.working += working;
    outcome.fresh = outcome.fresh.max(world.fresh_event()?);
    world.all_done()?;
    world.all_there(&engines.ids())?;
    let mut problems = Vec::new();
    for run in engines.into_runs() {
        let status = run.drain()?;
        if !status.success() {
            problems.push(format!("the engine did not drain ({status}):\n{}", world.engine.log_tail()));
        }
    }
    Ok(problems)
}
