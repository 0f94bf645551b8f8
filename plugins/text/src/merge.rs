//! Putting the fields that were found into the event that the text was in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fields::write_string;

/// The members of a JSON object, their values as they stand.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value().map_err(A::Error::custom)?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn members<'a>(json: &'a [u8], what: &str) -> Result<Members<'a>, String> {
    let text = std::str::from_utf8(json).map_err(|_| format!("{what} is not UTF-8"))?;
    serde_json::from_str(text).map_err(|_| format!("{what} is not an object"))
}

/// Writes the object `event` with the members of the object `found` behind its own to `merged`. Where both
/// have a name, the member of `found` counts.
pub(crate) fn merge(event: &[u8], found: &[u8], merged: &mut Vec<u8>) -> Result<(), String> {
    let found = members(found, "what stands in the text")?;
    let event = members(event, "the event")?;
    let names: HashSet<&str> = found.0.iter().map(|(name, _)| name.as_ref()).collect();
    let kept = event.0.iter().filter(|(name, _)| !names.contains(name.as_ref()));
    merged.clear();
    for (name, value) in kept.chain(&found.0) {
        merged.push(if merged.is_empty() { b'{' } else { b',' });
        write_string(merged, name.as_bytes());
        merged.push(b':');
        merged.extend_from_slice(value.get().as_bytes());
    }
    if merged.is_empty() {
        merged.push(b'{');
    }
    merged.push(b'}');
    Ok(())
}
