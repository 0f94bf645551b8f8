//! Times of events: read from RFC 3339 text and from numbers since 1970, written as RFC 3339 text.
//!
//! A time is a number of nanoseconds since 1970 (UTC) in an `i64`: from 1677-09-21 to 2262-04-11. `i64::MIN` is no time.
//!
//! ```
//! use tidegate_sdk::event_time::{TimeUnit, from_json};
//! assert_eq!(from_json(br#""2026-01-02T03:04:05+09:00""#, None), Ok(1_767_290_645_000_000_000));
//! assert_eq!(from_json(b"1767290645000", None), Ok(1_767_290_645_000_000_000));
//! assert_eq!(from_json(b"10", Some(TimeUnit::Seconds)), Ok(10_000_000_000));
//! ```

mod number;
mod rfc3339;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use rfc3339::to_text;

use crate::json;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;

/// The unit of a time that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
}

impl TimeUnit {
    /// Every unit, the longest first.
    pub const ALL: [TimeUnit; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    /// Nanoseconds of one unit.
    pub const fn nanoseconds(self) -> i64 {
        match self {
            Self::Seconds => SECOND,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1000,
            Self::Nanoseconds => 1,
        }
    }

    /// The name, as in a pipeline file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }
}

/// Reads a time from a JSON value as it stands: a string with an RFC 3339 time or a number, or a number.
///
/// A number is in `unit`. Without a unit it is recognized by its size: as the one of seconds, milliseconds, microseconds
/// and nanoseconds in which it lies in the years 2001 to 2100.
///
/// # Errors
/// The value is no time, with the reason.
pub fn from_json(value: &[u8], unit: Option<TimeUnit>) -> Result<i64, String> {
    match value {
        [b'"', inner @ .., b'"'] => {
            if memchr::memchr(b'\\', inner).is_some() {
                from_text(json::text(value).as_bytes(), unit)
            } else {
                from_text(inner, unit)
            }
        }
        [b'-' | b'0'..=b'9', ..] => number::parse(value, unit),
        b"null" => Err("there is no time".to_owned()),
        _ => Err(format!("{} is not a time", shown(value))),
    }
}

/// Reads a time from text without quotes: RFC 3339, or a number as in [`from_json`].
///
/// # Errors
/// As [`from_json`].
pub fn from_text(text: &[u8], unit: Option<TimeUnit>) -> Result<i64, String> {
    if let Some(time) = rfc3339::parse(text) {
        return time.map_err(|reason| format!("the time {} {reason}", shown(text)));
    }
    let is_number = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    if is_number && !text.is_empty() {
        return number::parse(text, unit);
    }
    Err(format!("{} is not a time as of RFC 3339, such as \"2026-01-31T09:00:00Z\"", shown(text)))
}

/// The value in a message: at most 64 bytes of it.
fn shown(text: &[u8]) -> Cow<'_, str> {
    const SHOWN: usize = 64;
    if text.is_empty() {
        return "an empty text".into();
    }
    let start = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    let start: String = start.chars().flat_map(char::escape_debug).collect();
    let rest = if text.len() > SHOWN { "..." } else { "" };
    format!("`{start}{rest}`").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_json_is_read_with_and_without_escapes() {
        assert_eq!(from_json(br#""1970-01-01T00:00:01Z""#, None), Ok(SECOND));
        assert_eq!(from_json(br#""1970-01-01T00:00\u003a01Z""#, None), Ok(SECOND));
        assert_eq!(from_json(br#""1700000000""#, None), Ok(1_700_000_000 * SECOND));
    }

    #[test]
    fn values_without_a_time_are_refused_with_the_reason() {
        for (value, reason) in [
            (&b"null"[..], "there is no time"),
            (b"true", "`true` is not a time"),
            (b"{}", "`{}` is not a time"),
            (b"\"\"", "an empty text is not a time as of RFC 3339, such as \"2026-01-31T09:00:00Z\""),
            (b"\"soon\"", "`soon` is not a time as of RFC 3339, such as \"2026-01-31T09:00:00Z\""),
            (b"12", "the number 12 is not a time from 2001 to 2100 in any unit; set `time_unit`"),
        ] {
            assert_eq!(from_json(value, None), Err(reason.to_owned()));
        }
        let long = from_json(&[b"\"".as_slice(), &[b'x'; 1000], b"\""].concat(), None).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn units_have_their_names() {
        for unit in TimeUnit::ALL {
            assert_eq!(serde_json::to_string(&unit).unwrap(), format!("\"{}\"", unit.name()));
        }
    }
}
