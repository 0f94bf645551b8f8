//! Rounds of faults, and what came of all of them together.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::calls;
use crate::faults::{Struck, strike};
use crate::lane::Fault;
use crate::oracle::Tally;
use crate::world::{Trial, World};

/// How many faults a round has, at most. Then everything is counted, and the next one begins with nothing.
const ROUND: u64 = 50;

/// What came of a campaign against one lane.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The engine does not run this lane with this guarantee, for this reason.
    pub skipped: Option<String>,
    /// How many faults there were.
    pub faults: u64,
    /// How many of them met a lane at work.
    pub working: u64,
    /// What became of the events.
    pub tally: Tally,
    /// How long a fresh event took after the last fault of a round, at worst.
    pub fresh: Duration,
    /// How long it all took.
    pub elapsed: Duration,
    /// What is not as promised.
    pub problems: Vec<String>,
}

/// Does a fault `times` times, in rounds.
///
/// # Errors
/// If the campaign itself cannot go on; what is wrong with the engine is in the outcome.
pub fn campaign(trial: &Trial, seed: u64, times: u64) -> Result<Outcome> {
    let since = Instant::now();
    let mut outcome = Outcome { skipped: refusal(trial)?, ..Outcome::default() };
    if outcome.skipped.is_some() {
        return Ok(outcome);
    }
    if trial.fault == Fault::Calls {
        calls::enumerate(trial, seed, times, &mut outcome)?;
    } else {
        let mut left = times;
        // What a round's seed is made from makes it the same again when only it is asked for.
        for round in (seed..).take(times.div_ceil(ROUND) as usize) {
            let now = left.min(ROUND);
            left -= now;
            one_round(trial, round, now, &mut outcome)?;
        }
    }
    outcome.elapsed = since.elapsed();
    Ok(outcome)
}

/// Why the engine does not run this lane, if it does not.
fn refusal(trial: &Trial) -> Result<Option<String>> {
    if trial.fault == Fault::Calls && !tidegate_servers::machine::can_trace() {
        return Ok(Some("`strace` is not there, or may not trace".to_owned()));
    }
    World::new(trial, 0, true)?.engine.refusal()
}

fn one_round(trial: &Trial, seed: u64, times: u64, outcome: &mut Outcome) -> Result<()> {
    let mut world = World::new(trial, seed, true)?;
    outcome.faults += times;
    let problems = match strike_and_recover(&mut world, times, outcome) {
        Ok(problems) => problems,
        Err(error) => {
            // What is in the server is looked at all the same.
            if let (Some(redis), Some(_)) = (&mut world.redis, trial.fault.settings()) {
                redis.restart();
            }
            vec![format!("{error:#}")]
        }
    };
    outcome.judge(trial, world, &format!("seed {seed}"), problems)
}

impl Outcome {
    /// Counts what has arrived after the faults that `what` names. Keeps the world's folder if something is wrong
    /// with that, or there were `problems` before.
    pub(crate) fn judge(
        &mut self,
        trial: &Trial,
        mut world: World,
        what: &str,
        mut problems: Vec<String>,
    ) -> Result<()> {
        let (tally, examples) = world.check()?;
        self.tally = self.tally.with(tally);
        let broken = trial.lane.promise(trial.guarantee, trial.fault).broken_by(&tally);
        if !broken.is_empty() {
            problems.push(format!("{}: {tally}\n  {}", broken.join(", "), examples.join("\n  ")));
        }
        if !problems.is_empty() {
            let kept = world.keep();
            self.problems.push(format!("{what} ({} kept): {}", kept.display(), problems.join("\n")));
        }
        Ok(())
    }
}

fn strike_and_recover(world: &mut World, times: u64, outcome: &mut Outcome) -> Result<Vec<String>> {
    let Struck { crew, working } = strike(world, times)?;
    outcome.working += working;
    outcome.fresh = outcome.fresh.max(world.fresh_event()?);
    world.all_done()?;
    world.all_there(&crew.ids())?;
    let mut problems = Vec::new();
    for run in crew.into_runs() {
        let status = run.drain()?;
        if !status.success() {
            problems.push(format!("the engine did not drain ({status}):\n{}", world.engine.log_tail()));
        }
    }
    Ok(problems)
}
