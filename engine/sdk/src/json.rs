//! Finding a value in JSON text, without building a tree of it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A path as jq writes it: `.`, `.data.users`, `.items[0].name`, `."odd name"`, `.["odd name"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// The bytes of the value at this path in `json`, as they stand there; `None` if there is no value. Of
    /// several members with the same name the last counts, as in jq.
    ///
    /// # Errors
    /// What is wrong with `json`, if it is not one well-formed JSON value. It is checked to its end, and may
    /// be nested 128 deep.
    pub fn find<'a>(&self, json: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let found = Walk(&self.steps).deserialize(&mut deserializer).map_err(|error| plain(&error))?;
        deserializer.end().map_err(|error| plain(&error))?;
        Ok(found.map(|raw| raw.get().as_bytes()))
    }

    /// The value at this path as text: a string without its quotes and escapes, any other value as it stands.
    /// `None` if there is no value, or it is null.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_text<'a>(&self, json: &'a [u8]) -> Result<Option<Cow<'a, str>>, String> {
        Ok(self.find(json)?.filter(|raw| *raw != b"null").map(text))
    }

    /// The path as a JSON pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        let token = |step: &Step| match step {
            Step::Key(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        self.steps.iter().map(token).collect()
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A raw JSON value as text: a string without its quotes and escapes, any other value as it stands.
pub fn text(raw: &[u8]) -> Cow<'_, str> {
    match raw.first() {
        Some(b'"') => match serde_json::from_slice::<CowText<'_>>(raw) {
            Ok(text) => text.0,
            Err(_) => String::from_utf8_lossy(raw),
        },
        _ => String::from_utf8_lossy(raw),
    }
}

/// Checks that `json` is one well-formed JSON value.
///
/// # Errors
/// What is wrong, with the byte where it is.
pub fn check(json: &[u8]) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    IgnoredAny::deserialize_with(&mut deserializer).map_err(|error| plain(&error))?;
    deserializer.end().map_err(|error| plain(&error))
}

trait DeserializeWith<'de>: Sized {
    fn deserialize_with<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl<'de> DeserializeWith<'de> for IgnoredAny {
    fn deserialize_with<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::Deserialize::deserialize(deserializer)
    }
}

/// serde_json's message with the place told in bytes of the event, which is one line.
fn plain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line").unwrap_or(message.len());
    match error.line() {
        0 => message,
        1 => format!("malformed JSON: {} at byte {}", &message[..end], error.column()),
        line => format!("malformed JSON: {} at line {line}, byte {}", &message[..end], error.column()),
    }
}

#[derive(serde::Deserialize)]
struct CowText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Follows the steps that are left and yields the raw value at the end.
struct Walk<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0.is_empty() {
            true => <&RawValue as de::Deserialize>::deserialize(deserializer).map(Some),
            false => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(CowText(name)) = map.next_key()? {
            match &self.0[0] {
                Step::Key(key) if *key == *name => found = map.next_value_seed(Walk(&self.0[1..]))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let wanted = match self.0[0] {
            Step::Index(index) => index,
            Step::Key(_) => usize::MAX,
        };
        for index in 0.. {
            if index == wanted {
                match sequence.next_element_seed(Walk(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if sequence.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = |at: usize| {
            format!(
                "`{text}` is not a path (byte {at}); write it like `.user.name`, `.items[0]` or `.\"odd name\"`"
            )
        };
        let mut steps = Vec::new();
        let trimmed = text.trim();
        let mut rest = trimmed.strip_prefix('.').ok_or_else(|| problem(0))?;
        while !rest.is_empty() {
            let at = trimmed.len() - rest.len();
            let (step, tail) = step(rest).ok_or_else(|| problem(at))?;
            steps.push(step);
            // A dot stands between a step and a following name; a bracket follows directly.
            rest = match tail.strip_prefix('.') {
                Some(after) if !after.is_empty() => after,
                None if tail.is_empty() || tail.starts_with('[') => tail,
                _ => return Err(problem(trimmed.len() - tail.len())),
            };
        }
        Ok(Self { text: trimmed.to_owned(), steps })
    }
}

/// The first step of `text`, and what follows it.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        if inner.starts_with('"') {
            let (key, tail) = quoted(inner)?;
            return Some((Step::Key(key), tail.strip_prefix(']')?));
        }
        let (digits, tail) = inner.split_once(']')?;
        return Some((Step::Index(digits.parse().ok()?), tail));
    }
    if text.starts_with('"') {
        return quoted(text).map(|(key, tail)| (Step::Key(key), tail));
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts_well.then(|| (Step::Key(text[..end].to_owned()), &text[end..]))
}

/// A JSON string at the start of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let key = values.next()?.ok()?;
    Some((key, &text[values.byte_offset()..]))
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> de::Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CowText::deserialize(deserializer)?.0.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "path".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "json-path-text", "examples": [".data.users", ".id"] })
    }
}

#[cfg(test)]
mod tests;
