//! The filter `sample`: one event in so many.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, ConfigError, Error, Filter, Output, Plugin};

use crate::key::{Key, Missing};

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
    /// Of how many events one is kept. Without a `key` it is the first of every so many, in the order in
    /// which they come.
    #[schemars(range(min = 1))]
    one_in: u64,
    /// Where the value is whose events stay together, such as `".user"`, or several places that count
    /// together. About one value in `one_in` is kept, with all its events, and the same ones in every run: an
    /// event is kept if the 64-bit XXH3 (seed 0) of the value's text is a multiple of `one_in`.
    key: Option<Key>,
    /// What becomes of an event that has no value at `key`, or null there: `"pass"` keeps every one of them,
    /// `"reject"` sends it to the dead letters.
    missing: Missing,
}

impl Default for Options {
    fn default() -> Self {
        Self { one_in: 10, key: None, missing: Missing::Pass }
    }
}

#[derive(Clone)]
struct Sample {
    one_in: u64,
    key: Option<Key>,
    missing: Missing,
    /// How many events came since the last that was kept; for a sample without a key.
    since: u64,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::filter("sample", "Keeps one event in so many, or all events of one key in so many", SAMPLE, build)
}

fn build(options: Options) -> Result<Sample, ConfigError> {
    match options.one_in {
        0 => Err(ConfigError::at("/one_in", "one event in 0 is none; it is at least 1")),
        one_in => Ok(Sample { one_in, key: options.key, missing: options.missing, since: 0 }),
    }
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
        let mut kept = batch.derive();
        for (event, payload) in batch.payloads().enumerate() {
            match self.keeps(payload) {
                Ok(true) => kept.keep(event),
                Ok(false) => {}
                Err(reason) => out.reject(event, reason),
            }
        }
        out.emit(kept.finish());
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        self.key.is_some().then(|| Box::new(self.clone()) as Box<dyn Filter>)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_testkit::{apply, build_filter, conformance};

    use super::plugin;

    #[test]
    fn every_so_manyth_is_kept_across_batches() {
        let mut filter = build_filter(&plugin(), &json!({ "one_in": 3 }));
        assert_eq!(apply(&mut *filter, ["0", "1", "2", "3", "4"]).0, ["0", "3"]);
        assert_eq!(apply(&mut *filter, ["5", "6", "7"]).0, ["6"]);
        assert!(filter.fork().is_none(), "it depends on the order");
    }

    #[test]
    fn all_events_of_a_key_stay_together_and_about_one_key_in_so_many_is_kept() {
        let mut filter = build_filter(&plugin(), &json!({ "one_in": 4, "key": ".u" }));
        let events = (0..4000).map(|n| format!(r#"{{"n":{n},"u":{}}}"#, n % 1000));
        let (kept, _) = apply(&mut *filter, events);
        let users = kept.iter().map(|text| text.split("\"u\":").nth(1).unwrap());
        let users: std::collections::BTreeSet<_> = users.collect();
        assert_eq!(kept.len(), users.len() * 4);
        assert!((200..300).contains(&users.len()), "{}", users.len());
        let again = apply(&mut *build_filter(&plugin(), &json!({ "one_in": 4, "key": ".u" })), kept.clone());
        assert_eq!(again.0, kept, "another run keeps the same");
    }

    #[test]
    fn conforms() {
        conformance::filter(&plugin(), &json!({ "one_in": 2 }), &["1", "2", "3"]);
        let keyed = json!({ "one_in": 2, "key": [".a", ".b"], "missing": "reject" });
        conformance::filter(&plugin(), &keyed, &[r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#]);
    }
}
