//! Conversion of text to numbers, booleans and times.

use std::collections::BTreeMap;
use std::io::Write;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::json;

use crate::scan::shorten;
use crate::time;

/// Type of a field.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    /// Text, as without a type.
    Text,
    /// Whole number: `-12`.
    Integer,
    /// Number: `1.5`, `1e3`.
    Float,
    /// `true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`, in upper or lower case.
    Boolean,
    /// Time, written as RFC 3339 in UTC. It is read from RFC 3339 (`T` or a space; without an offset it is UTC), from a
    /// date alone (its midnight), from the form of access logs, and from numbers since 1970: seconds if they have 9 or
    /// 10 digits before the point, milliseconds if 13, microseconds if 16, nanoseconds if 19. Nothing else is a time,
    /// so a zone in brackets or `20260701120000` rejects the event. A leap second is read as the second before it.
    Timestamp,
}

/// Types of fields, by name.
#[derive(Debug, Default)]
pub(crate) struct Types(BTreeMap<String, Type>);

impl Types {
    pub(crate) fn new(types: BTreeMap<String, Type>) -> Self {
        Self(types)
    }

    pub(crate) fn of(&self, field: &str) -> Option<Type> {
        if self.0.is_empty() { None } else { self.0.get(field).copied() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the fields that have a type.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Type {
    /// Appends the converted `text` to `json`. Empty text is null, except for [`Type::Text`].
    ///
    /// # Errors
    /// If the conversion fails: the rest of a sentence that begins with the name of the field.
    pub(crate) fn write(self, text: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
        if self == Self::Text {
            write_string(json, text);
            return Ok(());
        }
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            json.extend_from_slice(b"null");
            return Ok(());
        }
        let converted = std::str::from_utf8(trimmed).ok().and_then(|text| self.convert(text, json));
        converted.ok_or_else(|| format!("is `{}`, which is not {}", shorten(text), self.noun()))
    }

    /// Appends `text` as JSON if it is of this type.
    fn convert(self, text: &str, json: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text => write_string(json, text.as_bytes()),
            Self::Integer => write!(json, "{}", text.parse::<i128>().ok()?).ok()?,
            Self::Float => {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
                serde_json::to_writer(json, &number).ok()?;
            }
            Self::Boolean => {
                let is = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
                let yes = is(["true", "yes", "on", "1"]);
                let known = yes || is(["false", "no", "off", "0"]);
                known.then(|| json.extend_from_slice(if yes { b"true" } else { b"false" }))?;
            }
            Self::Timestamp => write!(json, "\"{}Z\"", time::any(text)?).ok()?,
        }
        Some(())
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "true or false",
            Self::Timestamp => "a time",
        }
    }
}

/// Appends `text` in quotes, escaped. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn write_string(json: &mut Vec<u8>, text: &[u8]) {
    json::write_text(json, &String::from_utf8_lossy(text));
}
