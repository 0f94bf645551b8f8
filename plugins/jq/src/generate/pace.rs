//! The times at which events are due. No clock is read here: the caller passes the time that has passed.

use std::time::Duration;

/// Batches are no closer together than this when there is a rate, so that a high rate makes larger batches
/// rather than more of them.
const CLOSEST: Duration = Duration::from_millis(1);

/// The time that is made up for at most.
const BACKLOG: f64 = 1.0;

/// The rule of a pace.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Nothing does.
    Full,
    /// An event in each interval, the next at `next`.
    Interval { interval: Duration, next: Duration },
    /// This many events a second. `made` counts from `start`; nothing is due before `earliest`.
    Rate { rate: f64, start: Duration, made: u64, earliest: Duration },
}

/// The events that are due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This many events, now.
    Now(u64),
    /// Nothing, until this much time has passed.
    In(Duration),
}

impl Pace {
    pub(crate) fn interval(interval: Duration) -> Self {
        Self::Interval { interval, next: Duration::ZERO }
    }

    pub(crate) fn rate(rate: f64) -> Self {
        Self::Rate { rate, start: Duration::ZERO, made: 0, earliest: Duration::ZERO }
    }

    /// The events that are due when `elapsed` has passed since the start. If there are any, [`made`](Self::made) says
    /// afterwards how many there were.
    pub(crate) fn due(&mut self, elapsed: Duration) -> Due {
        match self {
            Self::Full => Due::Now(u64::MAX),
            Self::Interval { interval, next } => {
                if let Some(pause) = pause_until(*next, elapsed) {
                    return Due::In(pause);
                }
                let missed = (elapsed - *next).as_nanos() / interval.as_nanos();
                let steps = u32::try_from(missed).unwrap_or(u32::MAX - 1) + 1;
                *next = next.saturating_add(interval.saturating_mul(steps));
                Due::Now(1)
            }
            Self::Rate { rate, start, made, earliest } => {
                let following = start.saturating_add(seconds(*made as f64 / *rate));
                if let Some(pause) = pause_until(following.max(*earliest), elapsed) {
                    return Due::In(pause);
                }
                *earliest = elapsed + CLOSEST;
                let late = (elapsed - following).as_secs_f64();
                if late > BACKLOG {
                    (*start, *made) = (elapsed - seconds(BACKLOG), 0);
                }
                let total = ((elapsed - *start).as_secs_f64() * *rate) as u64 + 1;
                Due::Now(total.saturating_sub(*made).max(1))
            }
        }
    }

    /// Counts events that were made of those that were due.
    pub(crate) fn made(&mut self, count: u64) {
        if let Self::Rate { made, .. } = self {
            *made += count;
        }
    }
}

fn pause_until(moment: Duration, elapsed: Duration) -> Option<Duration> {
    moment.checked_sub(elapsed).filter(|pause| !pause.is_zero())
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_interval_starts_at_once_and_leaves_out_what_is_missed() {
        let mut pace = Pace::interval(10 * MS);
        assert_eq!(pace.due(MS), Due::Now(1));
        assert_eq!(pace.due(2 * MS), Due::In(8 * MS));
        assert_eq!(pace.due(47 * MS), Due::Now(1));
        assert_eq!(pace.due(47 * MS), Due::In(3 * MS));
    }

    #[test]
    fn a_rate_is_even_and_makes_up_for_a_second() {
        let mut pace = Pace::rate(100.0);
        assert_eq!(pace.due(Duration::ZERO), Due::Now(1));
        pace.made(1);
        assert_eq!(pace.due(4 * MS), Due::In(6 * MS));
        assert_eq!(pace.due(55 * MS), Due::Now(5));
        pace.made(5);
        assert_eq!(pace.due(55 * MS), Due::In(5 * MS));
        assert_eq!(pace.due(10_000 * MS), Due::Now(101));
    }

    #[test]
    fn a_high_rate_makes_larger_batches() {
        let mut pace = Pace::rate(1e6);
        assert_eq!(pace.due(Duration::ZERO), Due::Now(1));
        pace.made(1);
        assert_eq!(pace.due(MS / 4), Due::In(3 * MS / 4));
        assert!(matches!(pace.due(2 * MS), Due::Now(1999..=2001)));
    }
}
