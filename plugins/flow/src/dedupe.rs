//! The filter `dedupe`: drops repeats of events.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration as Time, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, ConfigError, ConfigErrors, Duration, Error, Filter, Output, Plugin};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::key::{Key, Missing};
use crate::state::{Reader, Writer};
use crate::window::Window;

/// The largest `events`: about 6 GiB of memory.
const MOST: usize = 100_000_000;

const NAME: &str = "dedupe";

const SAMPLE: &str = r#"
# Each order once, as long as its repeats come within ten minutes.
[filter.once]
plugin = "dedupe"
key = ".id"
within = "10m"
"#;

/// Options of the filter `dedupe`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// The path of the value that identifies an event, such as `".id"`, or several paths that count together:
    /// `[".tenant", ".id"]`. Values are compared as text, so `1` and `"1"` are the same. Default: the whole
    /// payload, byte by byte, which need not be JSON.
    key: Option<Key>,
    /// The number of events that are remembered: the last ones that passed. Each takes about 64 bytes of memory,
    /// whatever the size of its key. At most 100,000,000. A reload keeps at least the newest 2,500,000.
    #[schemars(range(min = 1, max = MOST))]
    events: usize,
    /// The time for which an event is remembered, such as `"10m"`. A repeat does not prolong it, so of an event that
    /// comes again and again, one passes in each span. An event is forgotten by `events` or `within`, whichever
    /// comes first. Default: only `events` counts.
    within: Option<Duration>,
    /// The fate of an event with no value at `key`, or null: `"pass"` lets it through, `"reject"` sends it to the
    /// dead letters. Only with a `key`. Default: `"pass"`.
    missing: Option<Missing>,
}

impl Default for Options {
    fn default() -> Self {
        Self { key: None, events: 100_000, within: None, missing: None }
    }
}

struct Dedupe {
    key: Option<Key>,
    missing: Missing,
    window: Window,
    started: Instant,
    /// The time that had passed for the filters that this one replaced.
    before: Time,
    /// Random, so that no input can be prepared with two keys of one hash.
    seed: u64,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::filter(NAME, "Lets each event through once, by a key or as a whole", SAMPLE, build)
}

fn build(options: Options) -> Result<Dedupe, ConfigError> {
    let mut errors = ConfigErrors::default();
    if options.events == 0 || options.events > MOST {
        errors.push(ConfigError::at("/events", "between 1 and 100,000,000 events can be remembered"));
    }
    if options.within.is_some_and(|within| within.is_zero()) {
        errors.push(
            ConfigError::at("/within", "no event is remembered for no time")
                .help("write a span such as \"10m\", or leave it out"),
        );
    }
    let missing = errors.keep(Missing::checked(options.missing, options.key.as_ref()));
    errors.finish(())?;
    Ok(Dedupe {
        missing: missing.unwrap_or_default(),
        key: options.key,
        window: Window::new(options.events, options.within.map(|within| within.0)),
        started: Instant::now(),
        before: Time::ZERO,
        seed: RandomState::new().hash_one(0),
    })
}

impl Filter for Dedupe {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let now = self.now();
        for (event, payload) in batch.payloads().enumerate() {
            let hash = match &self.key {
                None => Ok(Some(xxh3_128_with_seed(payload, self.seed))),
                Some(key) => key.hash(payload, self.seed),
            };
            match (hash, &self.key) {
                (Ok(Some(hash)), _) if self.window.admit(hash, now) => out.keep(event),
                (Ok(Some(_)), _) => {}
                (Ok(None), key) => match key.as_ref().and_then(|key| self.missing.reason(key)) {
                    Some(reason) => out.reject(event, reason),
                    None => out.keep(event),
                },
                (Err(reason), _) => out.reject(event, reason),
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut state = Writer::new(NAME);
        let mut later = self.now();
        state.long(self.seed);
        state.key(self.key.as_ref());
        state.long(nanoseconds(later));
        for (key, seen) in self.window.newest() {
            if !state.has_room() {
                break;
            }
            state.hash(key);
            state.small(nanoseconds(later.saturating_sub(seen)));
            later = seen;
        }
        Ok(Some(state.finish()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut state = Reader::new(NAME, state)?;
        let seed = state.long()?;
        state.same_key(self.key.as_ref())?;
        let before = Time::from_nanos(state.long()?);
        let (mut newest, mut later) = (Vec::new(), before);
        while !state.is_empty() {
            let key = state.hash()?;
            let earlier = later.checked_sub(Time::from_nanos(state.small()?));
            later = earlier.ok_or_else(|| Error::fatal("an event in it was seen before the first one"))?;
            if newest.len() < self.window.events() {
                newest.push((key, later));
            }
        }
        self.window.know(&newest);
        (self.seed, self.before, self.started) = (seed, before, Instant::now());
        Ok(())
    }
}

impl Dedupe {
    /// The time that passed for this filter and those that it replaced. It stands still between them.
    fn now(&self) -> Time {
        self.before.saturating_add(self.started.elapsed())
    }
}

/// The nanoseconds of a time, up to 584 years.
fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
