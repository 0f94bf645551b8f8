//! Pauses between the starts of a command that does not stay up.

use std::time::Duration;

/// The pause after the first failure. Each further failure doubles it.
const BASE: Duration = Duration::from_millis(100);

/// The longest pause.
const CAP: Duration = Duration::from_secs(30);

/// A run that lasted this long was healthy: the pauses begin at [`BASE`] again. Output is no sign of health,
/// because a command may write a line and fail each time.
const HEALTHY: Duration = Duration::from_secs(10);

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    failures: u32,
}

impl Restarts {
    /// Records a run that did what it should.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Records a run that ended and is to be started again. `ran` is the time for which it ran. Returns the pause before
    /// the next start.
    pub(super) fn failed(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY {
            self.failures = 0;
        }
        let pause = BASE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(CAP);
        self.failures = (self.failures + 1).min(31);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_again_after_a_healthy_run() {
        let mut restarts = Restarts::default();
        let pauses: Vec<_> = (0..40).map(|_| restarts.failed(HEALTHY - BASE).as_millis()).collect();
        assert_eq!(pauses[..10], [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
        assert!(pauses[10..].iter().all(|pause| *pause == 30_000));
        assert_eq!(restarts.failed(HEALTHY), BASE);
        assert_eq!(restarts.failed(Duration::ZERO), 2 * BASE);
        restarts.succeeded();
        assert_eq!(restarts.failed(Duration::ZERO), BASE);
    }
}
