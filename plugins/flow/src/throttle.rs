//! The filter `throttle`: limits the rate of events.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    AsyncFilter, Batch, Component, ConfigError, ConfigErrors, Cx, Duration, Error, Filter, Output, Plugin,
    async_trait,
};

use crate::bucket::{Buckets, Rate};
use crate::key::{Key, Missing};
use crate::state::{Reader, Writer};

/// The largest `max_keys`: about 1 GiB of memory.
const MOST_KEYS: usize = 10_000_000;

const NAME: &str = "throttle";

const SAMPLE: &str = r#"
# No more than a hundred events a second reach the API.
[filter.slowly]
plugin = "throttle"
events = 100
per = "1s"
"#;

/// Options of the filter `throttle`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// The number of events that pass in each span of `per`. A reload keeps what was used up, also under another
    /// rate.
    #[schemars(range(min = 1))]
    events: u64,
    /// The span in which `events` events pass, such as `"1s"` or `"1h"`.
    per: Duration,
    /// The number of events that may pass at once after a silence; 1 spaces them evenly. Default: `events`.
    #[schemars(range(min = 1))]
    burst: Option<u64>,
    /// The fate of events over the rate: `"wait"` holds them, and everything upstream, until they may pass; `"drop"`
    /// drops them.
    excess: Excess,
    /// The path of the value that has a rate of its own, such as `".user"`, or several paths that count together.
    /// Only with `excess = "drop"`: an event that waits would block those of other keys. Default: all events share
    /// one rate.
    key: Option<Key>,
    /// The fate of an event with no value at `key`, or null: `"pass"` lets it through, `"reject"` sends it to the
    /// dead letters. Only with a `key`. Default: `"pass"`.
    missing: Option<Missing>,
    /// The number of values of `key` that are remembered, at about 100 bytes each. Above it, those not seen for longest
    /// are forgotten, and start with a full burst when they come again. At least the last half of `max_keys` values
    /// are always known.
    #[schemars(range(min = 2, max = MOST_KEYS))]
    max_keys: usize,
}

/// The fate of events over the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum Excess {
    /// They wait, in order.
    #[default]
    Wait,
    /// They are dropped.
    Drop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            events: 100,
            per: Duration::seconds(1),
            burst: None,
            excess: Excess::Wait,
            key: None,
            missing: None,
            max_keys: 100_000,
        }
    }
}

/// A rate for all events. Those over it wait.
struct Wait {
    rate: Rate,
    full: u64,
    started: tokio::time::Instant,
}

impl Wait {
    /// The nanoseconds since the start, by the clock of the engine.
    fn now(&self, cx: &Cx) -> u64 {
        cx.now().monotonic.saturating_duration_since(self.started).as_nanos() as u64
    }
}

/// A rate for all events, or for each key. Events over it are dropped.
struct DropExcess {
    buckets: Buckets,
    key: Option<Key>,
    missing: Missing,
    max_keys: usize,
    started: Instant,
    /// Random, so that no input can be prepared whose keys share a rate.
    seed: u64,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::any_filter(NAME, "Limits the number of events that pass in a span of time", SAMPLE, build)
}

fn build(options: Options) -> Result<Component, ConfigError> {
    let mut errors = ConfigErrors::default();
    errors.check(options.burst != Some(0), || {
        ConfigError::at("/burst", "with a burst of 0 nothing passes; it is at least 1")
    });
    let burst = options.burst.unwrap_or(options.events).max(1);
    let rate = Rate::new(options.events, options.per.0, burst).ok_or_else(|| {
        let message = format!("{} events in {} is not a rate", options.events, options.per);
        ConfigError::at("/events", message)
            .help("`events` and `per` are above 0, and together at most 1,000,000,000 events a second")
    });
    let rate = errors.keep(rate);
    errors.check((2..=MOST_KEYS).contains(&options.max_keys), || {
        ConfigError::at("/max_keys", "between 2 and 10,000,000 keys can be remembered")
    });
    let missing = errors.keep(Missing::checked(options.missing, options.key.as_ref())).unwrap_or_default();
    errors.check(options.excess == Excess::Drop || options.key.is_none(), || {
        let message = "a rate for each key cannot make events wait: one key would delay the others";
        ConfigError::at("/key", message).help("set `excess = \"drop\"`, or leave out `key`")
    });
    let Some(rate) = rate else { return Err(errors.into_error()) };
    errors.finish(())?;
    match (options.excess, options.key) {
        (Excess::Wait, _) => {
            Ok(Component::AsyncFilter(Box::new(Wait { rate, full: 0, started: tokio::time::Instant::now() })))
        }
        (Excess::Drop, key) => Ok(Component::Filter(Box::new(DropExcess {
            buckets: Buckets::new(rate, options.max_keys),
            key,
            missing,
            max_keys: options.max_keys,
            started: Instant::now(),
            seed: RandomState::new().hash_one(0),
        }))),
    }
}

#[async_trait]
impl AsyncFilter for Wait {
    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut passed = 0;
        // While the pipeline drains, events in flight pass at once: no new ones follow.
        while passed < batch.len() && !cx.is_stopping() {
            let now = self.now(cx);
            match self.rate.admit(&mut self.full, now) {
                Ok(()) => passed += 1,
                Err(_) if passed > 0 && out.defer_from(passed) => {
                    out.emit(batch.select(0..passed));
                    return Ok(());
                }
                Err(wait) => {
                    cx.sleep(std::time::Duration::from_nanos(wait)).await;
                }
            }
        }
        let now = self.now(cx);
        self.rate.force(&mut self.full, now, (batch.len() - passed) as u64);
        out.keep_all();
        Ok(())
    }

    async fn save(&mut self, cx: &Cx) -> Result<Option<Vec<u8>>, Error> {
        let wait = self.full.saturating_sub(self.now(cx));
        Ok(Some(saved(self.rate, (0, None), [(0, wait)])))
    }

    async fn restore(&mut self, state: &[u8], cx: &Cx) -> Result<(), Error> {
        let Restored { used, .. } = restored(self.rate, None, state, 1)?;
        let wait = used.first().map_or(0, |(_, wait)| *wait);
        self.full = self.now(cx).saturating_add(wait);
        Ok(())
    }
}

/// The state: the buckets that are not full. It is the same for both kinds of `excess`.
fn saved(
    rate: Rate,
    (seed, key): (u64, Option<&Key>),
    used: impl IntoIterator<Item = (u128, u64)>,
) -> Vec<u8> {
    let mut state = Writer::new(NAME);
    state.long(rate.interval());
    state.long(seed);
    state.key(key);
    for (key, wait) in used {
        if !state.has_room() {
            break;
        }
        state.hash(key);
        state.small(wait);
    }
    state.finish()
}

/// A saved state, converted to this rate.
struct Restored {
    seed: u64,
    used: Vec<(u128, u64)>,
}

fn restored(rate: Rate, key: Option<&Key>, state: &[u8], most: usize) -> Result<Restored, Error> {
    let mut state = Reader::new(NAME, state)?;
    let (interval, seed) = (state.long()?, state.long()?);
    state.same_key(key)?;
    let mut used = Vec::new();
    while !state.is_empty() {
        let (key, wait) = (state.hash()?, state.small()?);
        let wait = rate.converted(wait, interval).ok_or_else(|| Error::fatal("its rate is none"))?;
        if used.len() < most {
            used.push((key, wait));
        }
    }
    Ok(Restored { seed, used })
}

impl DropExcess {
    fn admits(&mut self, payload: &[u8], now: u64) -> Result<bool, String> {
        let hash = match &self.key {
            None => 0,
            Some(key) => match key.hash(payload, self.seed)? {
                Some(hash) => hash,
                None => return self.missing.reason(key).map_or(Ok(true), Err),
            },
        };
        Ok(self.buckets.admit(hash, now))
    }
}

impl Filter for DropExcess {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let now = now(self.started);
        for (event, payload) in batch.payloads().enumerate() {
            match self.admits(payload, now) {
                Ok(true) => out.keep(event),
                Ok(false) => {}
                Err(reason) => out.reject(event, reason),
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let used = self.buckets.used(now(self.started));
        Ok(Some(saved(self.buckets.rate(), (self.seed, self.key.as_ref()), used)))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let Restored { seed, used } = restored(self.buckets.rate(), self.key.as_ref(), state, self.max_keys)?;
        self.buckets.take_over(used, now(self.started));
        self.seed = seed;
        Ok(())
    }
}

/// The nanoseconds since `started`, up to 584 years.
fn now(started: Instant) -> u64 {
    started.elapsed().as_nanos() as u64
}
