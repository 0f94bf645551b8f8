//! A place in JSON text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};

use super::scan::Scanner;
use super::text;

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
    /// The defect of `json`, if it is not one well-formed JSON value. All of it is checked.
    pub fn find<'a>(&self, json: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        let mut scanner = Scanner::new(json)?;
        let found = walk(&mut scanner, &self.steps)?;
        scanner.end()?;
        Ok(found.map(|range| &json[range]))
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

/// The value that `steps` lead to from the value that comes next, which is passed.
fn walk(scanner: &mut Scanner<'_>, steps: &[Step]) -> Result<Option<Range<usize>>, String> {
    let Some((step, rest)) = steps.split_first() else { return scanner.value().map(Some) };
    let mut found = None;
    match (scanner.token(), step) {
        (Some(b'{'), Step::Key(key)) => scanner.members(|scanner, name| {
            if *name == **key {
                found = walk(scanner, rest)?;
            } else {
                scanner.value()?;
            }
            Ok(())
        })?,
        (Some(b'['), Step::Index(wanted)) => scanner.elements(|scanner, index| {
            if index == *wanted {
                found = walk(scanner, rest)?;
            } else {
                scanner.value()?;
            }
            Ok(true)
        })?,
        _ => {
            scanner.value()?;
        }
    }
    Ok(found)
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
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
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
