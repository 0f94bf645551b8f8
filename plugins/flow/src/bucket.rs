//! Token buckets: how many events may pass by when.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use crate::key::BuildAsIs;

/// A rate: so many events in so long, and how many may come at once after a silence.
///
/// The bucket of a rate is one point in time: when it will be full again (this is the generic cell rate
/// algorithm of ITU-T I.371). So it costs eight bytes, and a full bucket and none are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Nanoseconds that one event takes.
    interval: u64,
    /// Nanoseconds that a whole burst takes.
    burst: u64,
}

impl Rate {
    /// `events` in `per`, at most `burst` at once. `None` if that is nothing, or over 1,000,000,000 a second.
    pub(crate) fn new(events: u64, per: Duration, burst: u64) -> Option<Self> {
        let interval = u64::try_from(per.as_nanos()).ok()?.checked_div(events)?;
        let burst = interval.checked_mul(burst)?;
        (burst > 0).then_some(Self { interval, burst })
    }

    /// Lets one event pass at `now` (nanoseconds since any start), or says in how many nanoseconds it may.
    /// `full` is the bucket.
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
    /// Lets events pass, whether or not the rate allows it: they are counted as far as a bucket goes.
    pub(crate) fn force(self, full: &mut u64, now: u64, events: u64) {
        let then = (*full).max(now).saturating_add(self.interval.saturating_mul(events));
        *full = then.min(now.saturating_add(self.burst));
    }

    /// Nanoseconds that one event takes.
    pub(crate) fn interval(self) -> u64 {
        self.interval
    }

    /// In how many nanoseconds a bucket is full, if with another rate, whose events took `interval`, it was to be
    /// in `wait`: what had been used of it stays used. `None` if that is no rate.
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

    /// Whether an event of this key may pass at `now`.
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

    /// The rate of each.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// The keys whose buckets are not full at `now`, and in how many nanoseconds they will be. Those that were
    /// seen lately come first.
    pub(crate) fn used(&self, now: u64) -> impl Iterator<Item = (u128, u64)> {
        let waits = move |(key, full): (&u128, &u64)| (*key, full.saturating_sub(now));
        self.young.iter().chain(&self.old).map(waits).filter(|(_, wait)| *wait > 0)
    }

    /// Takes over such keys, and forgets all others. What is over the limit is left.
    pub(crate) fn take_over(&mut self, used: impl IntoIterator<Item = (u128, u64)>, now: u64) {
        (self.young, self.old) = Default::default();
        for (key, wait) in used.into_iter().take(2 * self.half) {
            let generation = if self.young.len() < self.half { &mut self.young } else { &mut self.old };
            generation.insert(key, now.saturating_add(wait));
        }
    }
}
