//! When a broken instance is restarted.

use std::time::Duration;

use tidegate_sdk::Error;
use tokio::time::Instant;

use super::spec::InstanceSpec;

/// Delay before the restart after the second break in a row; doubled for each further break.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Time without a break after which the next break counts as the first.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Decides when a broken instance is restarted, from its recent breaks.
pub(super) struct RestartPolicy {
    strict: bool,
    row: u32,
    last: Option<Instant>,
}

impl RestartPolicy {
    /// The policy for instances of this specification.
    pub(super) fn new(spec: &InstanceSpec) -> Self {
        Self { strict: spec.strict, row: 0, last: None }
    }

    /// Records a break at a whole batch or at a part of one, and returns the delay. Breaks at parts are expected during the
    /// search for the event that breaks the plugin: they cause no delay and no warning.
    pub(super) fn broke_at(&mut self, whole: bool, component: &str, why: &str) -> Result<Duration, Error> {
        if whole || self.strict {
            return self.broke(component, why);
        }
        tracing::debug!(component, "the plugin {why}; searching for the event that causes it");
        Ok(Duration::ZERO)
    }

    /// Resets the row of breaks: the event that caused them was found.
    pub(super) fn found_cause(&mut self) {
        self.row = 0;
    }

    /// Records a break, and returns the delay before the restart.
    pub(super) fn broke(&mut self, component: &str, why: &str) -> Result<Duration, Error> {
        if self.strict {
            return Err(Error::fatal(format!("the plugin {why}")));
        }
        if self.last.is_none_or(|last| last.elapsed() > FORGIVEN) {
            self.row = 0;
        }
        self.row += 1;
        self.last = Some(Instant::now());
        tracing::warn!(component, "the plugin {why}; restarting it");
        Ok(match self.row {
            1 => Duration::ZERO,
            row => FIRST_PAUSE.saturating_mul(1 << (row - 2).min(16)).min(LONGEST_PAUSE),
        })
    }
}
