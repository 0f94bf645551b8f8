//! Counts and violations of a campaign.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::Tally;
use crate::trial::Trial;
use crate::world::World;

/// Outcome of a campaign against one lane.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Reason why the engine does not run this lane with this guarantee.
    pub unsupported: Option<String>,
    /// Number of injected faults.
    pub faults: u64,
    /// Number of faults that hit a working lane.
    pub working: u64,
    /// Counts of events.
    pub tally: Tally,
    /// Longest time of a fresh event after the last fault of a round.
    pub fresh: Duration,
    /// Duration of the campaign.
    pub elapsed: Duration,
    /// Violated guarantees.
    pub problems: Vec<String>,
}

impl Outcome {
    /// Counts the events that arrived after the faults that `what` names. Keeps the folder of the world if a guarantee
    /// is violated, or there are `problems` already.
    pub(super) fn judge(
        &mut self,
        trial: &Trial,
        mut world: World,
        what: &str,
        mut problems: Vec<String>,
    ) -> Result<()> {
        let (tally, examples) = world.check()?;
        self.tally = self.tally.with(tally);
        let broken = trial.lane.checks(trial.guarantee, trial.fault).violated_by(&tally);
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
