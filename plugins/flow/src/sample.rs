//! The filter `sample`: keeps a share of the events.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, ConfigError, ConfigErrors, Error, Filter, Output, Plugin};

use crate::key::{Key, Missing};
use crate::state::{Reader, Writer};

const NAME: &str = "sample";

const SAMPLE: &str = r#"
# All events of one user in a hundred.
[filter.some]
plugin = "sample"
one_in = 100
key = ".user"
"#;

/// Options of the filter `sample`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// The number of events of which one is kept. Without a `key` it is the first of each run of `one_in` events, in
    /// their order. A reload keeps the count.
    #[schemars(range(min = 1))]
    one_in: u64,
    /// The path of the value whose events stay together, such as `".user"`, or several paths that count together.
    /// About one value in `one_in` is kept, with all its events, and the same values in every run: an event is
    /// kept if the 64-bit XXH3 (seed 0) of the value's text is a multiple of `one_in`.
    key: Option<Key>,
    /// The fate of an event with no value at `key`, or null: `"pass"` keeps it, `"reject"` sends it to the dead
    /// letters. Only with a `key`. Default: `"pass"`.
    missing: Option<Missing>,
}

impl Default for Options {
    fn default() -> Self {
        Self { one_in: 10, key: None, missing: None }
    }
}

#[derive(Clone)]
struct Sample {
    one_in: u64,
    key: Option<Key>,
    missing: Missing,
    /// The number of events since the last one that was kept, without a key.
    since: u64,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::filter(NAME, "Keeps one event in N, or all events of one key in N", SAMPLE, build)
}

fn build(options: Options) -> Result<Sample, ConfigError> {
    let mut errors = ConfigErrors::default();
    errors
        .check(options.one_in > 0, || ConfigError::at("/one_in", "one event in 0 is none; it is at least 1"));
    let missing = errors.keep(Missing::checked(options.missing, options.key.as_ref())).unwrap_or_default();
    errors.finish(Sample { one_in: options.one_in, key: options.key, missing, since: 0 })
}

impl Sample {
    fn keeps(&mut self, payload: &[u8]) -> Result<bool, String> {
        let Some(key) = &self.key else {
            let keeps = self.since == 0;
            self.since = (self.since + 1) % self.one_in;
            return Ok(keeps);
        };
        match key.stable_hash(payload)? {
            Some(hash) => Ok(hash % self.one_in == 0),
            None => self.missing.reason(key).map_or(Ok(true), Err),
        }
    }
}

impl Filter for Sample {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        for (event, payload) in batch.payloads().enumerate() {
            match self.keeps(payload) {
                Ok(true) => out.keep(event),
                Ok(false) => {}
                Err(reason) => out.reject(event, reason),
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut state = Writer::new(NAME);
        state.small(self.since);
        Ok(self.key.is_none().then(|| state.finish()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut state = Reader::new(NAME, state)?;
        let since = state.small()?;
        if !state.is_empty() {
            return Err(Error::fatal("it is longer than a state"));
        }
        // With a smaller `one_in` the next event may be due already.
        self.since = if since < self.one_in { since } else { 0 };
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        self.key.is_some().then(|| Box::new(self.clone()) as Box<dyn Filter>)
    }
}
