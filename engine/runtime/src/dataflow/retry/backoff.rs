//! Backoff between tries: exponential growth with full jitter.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use tidegate_config::RetryOptions;
use tidegate_sdk::{Class, Error};

/// Counter of failures in a row, and the pause after each.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(options: &RetryOptions) -> Self {
        Self { base: *options.base, cap: *options.cap, failures: 0 }
    }

    /// Starts again from the shortest pause.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Number of failures in a row. Busy answers do not count.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause after `error`. `chance` is evenly drawn from 0 to 1.
    pub(crate) fn pause(&mut self, error: &Error, chance: f64) -> Duration {
        let asked = error.retry_after().unwrap_or_default();
        if error.class() == Class::Busy {
            return asked.max(Duration::from_millis(1));
        }
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let longest = match error.class() {
            // Only a change outside the engine helps, so trying often is of no use.
            Class::Misconfigured => self.cap.mul_f64(0.5 + chance / 2.0),
            _ => self.base.saturating_mul(1 << doublings).min(self.cap).mul_f64(chance),
        };
        longest.max(asked)
    }
}

#[cfg(test)]
mod tests;
