//! How long to wait before the next try: exponential growth with full jitter.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use tidegate_config::RetryOptions;
use tidegate_sdk::{Class, Error};

/// Counts the failures in a row, and says how long to wait after each.
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

    /// It went through: start again from the shortest pause.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row. What was only busy does not count.
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
            // Somebody must change something first, so trying often is of no use.
            Class::Misconfigured => self.cap.mul_f64(0.5 + chance / 2.0),
            _ => self.base.saturating_mul(1 << doublings).min(self.cap).mul_f64(chance),
        };
        longest.max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        let seconds = tidegate_sdk::Duration::seconds;
        Backoff::new(&RetryOptions { base: seconds(1), cap: seconds(30), attempts: None })
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let mut backoff = backoff();
        let error = Error::retry("x");
        let pauses: Vec<u64> = (0..7).map(|_| backoff.pause(&error, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.pause(&error, 0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.pause(&error, 0.5).as_millis(), 500);
    }

    #[test]
    fn what_was_asked_for_is_honoured() {
        let mut backoff = backoff();
        let asked = Error::retry("x").after(Duration::from_secs(120));
        assert_eq!(backoff.pause(&asked, 0.1).as_secs(), 120);
        assert_eq!(backoff.failures(), 1);
        assert_eq!(backoff.pause(&Error::busy("x", Duration::from_secs(3)), 0.5).as_secs(), 3);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn a_misconfiguration_is_not_tried_often() {
        assert!(backoff().pause(&Error::misconfigured("x"), 0.0).as_secs() >= 15);
    }

    #[test]
    fn it_never_overflows() {
        let mut backoff = backoff();
        for _ in 0..100 {
            assert!(backoff.pause(&Error::retry("x"), 1.0).as_secs() <= 30);
        }
    }
}
