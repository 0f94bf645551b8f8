//! Token buckets: the rates of events.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use crate::key::BuildAsIs;

/// A rate: a number of events in a span of time, and the burst that may pass at once after a silence.
///
/// The bucket of a rate is one point in time: the moment at which it is full again (the generic cell rate algorithm of
/// ITU-T I.371). So it takes eight bytes, and a full bucket is the same as none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// The nanoseconds of one event.
    interval: u64,
    /// The nanoseconds of a whole burst.
    burst: u64,
}

impl Rate {
    /// A rate of `events` in `per`, at most `burst` at once. `None` if it is zero or over 1,000,000,000 a second.
    pub(crate) fn new(events: u64, per: Duration, burst: u64) -> Option<Self> {
        let interval = u64::try_from(per.as_nanos()).ok()?.checked_div(events)?;
        let burst = interval.checked_mul(burst)?;
        (burst > 0).then_some(Self { interval, burst })
    }

    /// Admits one event at `now` (nanoseconds since any start), or returns the nanoseconds until it may pass. `full`
    /// is the bucket.
    pub(crate) fn admit(self, full: &mut u64, now: u64) -> Result<(), u64> {
        let then = (*full).max(now).saturating_add(self.interval);
        match then.saturating_sub(now) <= self.burst {
            true => {
                *full = then;
                Ok(())
            }
            false => Err(then - now - self.burst),
        }
    }
}

impl Rate {
    /// Admits events regardless of the rate. They are counted up to the size of the bucket.
    pub(crate) fn force(self, full: &mut u64, now: u64, events: u64) {
        let then = (*full).max(now).saturating_add(self.interval.saturating_mul(events));
        *full = then.min(now.saturating_add(self.burst));
    }

    /// The nanoseconds of one event.
    pub(crate) fn interval(self) -> u64 {
        self.interval
    }

    /// Converts the time `wait` until a bucket is full from another rate, whose events took `interval`. Used tokens
    /// stay used. `None` if that is not a rate.
    pub(crate) fn converted(self, wait: u64, interval: u64) -> Option<u64> {
        let wait = (u128::from(wait) * u128::from(self.interval)).checked_div(interval.into())?;
        Some(u64::try_from(wait).unwrap_or(u64::MAX).min(self.burst))
    }
}

/// A bucket for each key. Holds at least those of the last half of `limit` keys, and never more than `limit`:
/// keys live in two generations, and when the younger one has grown to half of the limit, the older one goes.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    half: usize,
    young: HashMap<u128, u64, BuildAsIs>,
    old: HashMap<u128, u64, BuildAsIs>,
}

impl Buckets {
    pub(crate) fn new(rate: Rate, limit: usize) -> Self {
        Self { rate, half: (limit / 2).max(1), young: HashMap::default(), old: HashMap::default() }
    }

    /// Admits or refuses an event of this key at `now`.
    pub(crate) fn admit(&mut self, key: u128, now: u64) -> bool {
        if let Some(full) = self.young.get_mut(&key) {
            return self.rate.admit(full, now).is_ok();
        }
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let mut full = self.old.remove(&key).unwrap_or(0);
        let admitted = self.rate.admit(&mut full, now).is_ok();
        self.young.insert(key, full);
        admitted
    }

    /// The rate of each bucket.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// The keys whose buckets are not full at `now`, and the nanoseconds until they are. Keys that were seen lately
    /// come first.
    pub(crate) fn used(&self, now: u64) -> impl Iterator<Item = (u128, u64)> {
        let waits = move |(key, full): (&u128, &u64)| (*key, full.saturating_sub(now));
        self.young.iter().chain(&self.old).map(waits).filter(|(_, wait)| *wait > 0)
    }

    /// Replaces all keys by these, up to the limit.
    pub(crate) fn take_over(&mut self, used: impl IntoIterator<Item = (u128, u64)>, now: u64) {
        (self.young, self.old) = Default::default();
        for (key, wait) in used.into_iter().take(2 * self.half) {
            let generation = if self.young.len() < self.half { &mut self.young } else { &mut self.old };
            generation.insert(key, now.saturating_add(wait));
        }
    }
}
