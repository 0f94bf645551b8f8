//! When a broken instance is restarted.

use std::time::Duration;

use tidegate_sdk::Error;
use tokio::time::Instant;

use super::spec::InstanceSpec;

/// The pause before an instance that broke for the second time in a row is made anew; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so long without a break, the next one counts as the first.
const FORGIVEN: Duration = Duration::from_secs(60);

/// How often an instance broke lately.
pub(super) struct RestartPolicy {
    strict: bool,
    row: u32,
    last: Option<Instant>,
}

impl RestartPolicy {
    /// Of an instance of this recipe.
    pub(super) fn new(recipe: &InstanceSpec) -> Self {
        Self { strict: recipe.strict, row: 0, last: None }
    }

    /// Tells of a break at a whole batch, or at a part of one. While the culprit is looked for, breaks are to be
    /// expected: they are no reason to wait, and not worth a line each.
    pub(super) fn of(&mut self, whole: bool, component: &str, why: &str) -> Result<Duration, Error> {
        if whole || self.strict {
            return self.another(component, why);
        }
        tracing::debug!(component, "the plugin {why}; looking for the event at which it does");
        Ok(Duration::ZERO)
    }

    /// The event is found that it was for, so the plugin is not to blame for what comes next.
    pub(super) fn explained(&mut self) {
        self.row = 0;
    }

    /// Tells of a break, and says how long to wait before the next instance is made.
    pub(super) fn another(&mut self, component: &str, why: &str) -> Result<Duration, Error> {
        if self.strict {
            return Err(Error::fatal(format!("the plugin {why}")));
        }
        if self.last.is_none_or(|last| last.elapsed() > FORGIVEN) {
            self.row = 0;
        }
        self.row += 1;
        self.last = Some(Instant::now());
        tracing::warn!(component, "the plugin {why}; starting it anew");
        Ok(match self.row {
            1 => Duration::ZERO,
            row => FIRST_PAUSE.saturating_mul(1 << (row - 2).min(16)).min(LONGEST_PAUSE),
        })
    }
}
