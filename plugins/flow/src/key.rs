//! Keys of events: the values at one or several paths in their JSON.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use tidegate_sdk::ConfigError;
use tidegate_sdk::json::Path;
use tidegate_sdk::{schemars, serde};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128_with_seed};

/// A path, or a list of paths that count together.
#[derive(Clone, Debug)]
pub(crate) struct Key(Vec<Path>);

/// The fate of an event with no value at one of the paths, or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    /// The event passes.
    #[default]
    Pass,
    /// The event is rejected.
    Reject,
}

impl Missing {
    /// The option, which has a meaning only beside a `key`.
    pub(crate) fn checked(option: Option<Self>, key: Option<&Key>) -> Result<Self, ConfigError> {
        if option.is_some() && key.is_none() {
            return Err(ConfigError::at(
                "/missing",
                "this is about the value at `key`, and there is no `key`",
            )
            .help("set `key`, or leave `missing` out"));
        }
        Ok(option.unwrap_or_default())
    }

    /// The reason to reject an event without `key`. `None` if it passes.
    pub(crate) fn reason(self, key: &Key) -> Option<String> {
        (self == Self::Reject).then(|| format!("the event has no value at {key}"))
    }
}

impl Key {
    /// The 128-bit XXH3 of the key of `payload`. `None` if it has none.
    ///
    /// # Errors
    /// If the payload is not JSON.
    pub(crate) fn hash(&self, payload: &[u8], seed: u64) -> Result<Option<u128>, String> {
        if let [path] = self.0.as_slice() {
            let text = path.find_text(payload)?;
            return Ok(text.map(|text| xxh3_128_with_seed(text.as_bytes(), seed)));
        }
        let mut hash = Xxh3::with_seed(seed);
        for path in &self.0 {
            let Some(text) = path.find_text(payload)? else { return Ok(None) };
            update(&mut hash, &text);
        }
        Ok(Some(hash.digest128()))
    }

    /// The 64-bit XXH3 of the key of `payload`, with seed 0: the same in every run and version.
    ///
    /// # Errors
    /// If the payload is not JSON.
    pub(crate) fn stable_hash(&self, payload: &[u8]) -> Result<Option<u64>, String> {
        if let [path] = self.0.as_slice() {
            return Ok(path.find_text(payload)?.map(|text| xxh3_64(text.as_bytes())));
        }
        let mut hash = Xxh3::with_seed(0);
        for path in &self.0 {
            let Some(text) = path.find_text(payload)? else { return Ok(None) };
            update(&mut hash, &text);
        }
        Ok(Some(hash.digest()))
    }
}

/// Adds a value of several and its length, so that `ab` and `c` differ from `a` and `bc`.
fn update(hash: &mut Xxh3, text: &str) {
    hash.update(text.as_bytes());
    hash.update(&(text.len() as u64).to_le_bytes());
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", or at " };
            write!(formatter, "{separator}`{path}`")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral)
    }
}

struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path such as \".id\", or a list of paths")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        Ok(Key(vec![text.parse().map_err(E::custom)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Key, A::Error> {
        let mut paths = Vec::new();
        while let Some(path) = sequence.next_element()? {
            paths.push(path);
        }
        match paths.is_empty() {
            true => Err(de::Error::custom("the list of paths is empty; leave the option out instead")),
            false => Ok(Key(paths)),
        }
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "key".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<Path>();
        json_schema!({
            "anyOf": [path, { "type": "array", "items": path, "minItems": 1 }],
            "examples": [".id", [".tenant", ".id"]]
        })
    }
}

/// A hasher for keys that are hashes already: it uses their lower half.
#[derive(Default)]
pub(crate) struct AsIs(u64);

/// See [`AsIs`].
pub(crate) type BuildAsIs = BuildHasherDefault<AsIs>;

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
