//! Durations and sizes as people write them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A span of time, written `"200ms"`, `"60s"`, `"5m"`, `"1h30m"`, `"2d"`; `"0s"` is none.
///
/// ```
/// let duration: tidegate_sdk::Duration = "1h30m".parse().unwrap();
/// assert_eq!(duration.as_secs(), 5400);
/// assert_eq!(duration.to_string(), "1h30m");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub StdDuration);

/// A number of bytes, written `"512B"`, `"64KiB"`, `"1MiB"`, `"2GiB"` (or `kB`, `MB`, `GB` by thousands).
///
/// ```
/// let size: tidegate_sdk::Size = "1.5MiB".parse().unwrap();
/// assert_eq!(size.bytes(), 1_572_864);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

impl Duration {
    /// A duration of `seconds` seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(StdDuration::from_secs(seconds))
    }

    /// A duration of `millis` milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(StdDuration::from_millis(millis))
    }
}

impl Size {
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes, as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Deref for Duration {
    type Target = StdDuration;
    fn deref(&self) -> &StdDuration {
        &self.0
    }
}

/// A number such as `12` or `1.5` and the unit directly after it, then the rest of the text.
fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((number.parse().ok()?, &rest[..end], &rest[end..]))
}

impl FromStr for Duration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let problem =
            || format!("`{text}` is not a duration; write it like \"200ms\", \"60s\", \"5m\" or \"1h30m\"");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(problem());
        }
        let mut duration = StdDuration::ZERO;
        while !rest.is_empty() {
            let (number, unit, tail) = number_and_unit(rest).ok_or_else(problem)?;
            let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(problem)?;
            // The whole part as a whole number: fractions of seconds are not exact.
            let whole = (number as u64).checked_mul(*factor).map(StdDuration::from_millis);
            let fraction = StdDuration::try_from_secs_f64(number.fract() * *factor as f64 / 1000.0).ok();
            let part = whole.zip(fraction).and_then(|(whole, fraction)| whole.checked_add(fraction));
            duration = part.and_then(|part| duration.checked_add(part)).ok_or_else(problem)?;
            rest = tail;
        }
        Ok(Self(duration))
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("`{text}` is not a size; write it like \"64KiB\", \"1MiB\" or \"2GiB\"");
        let (number, unit, tail) = number_and_unit(text.trim()).ok_or_else(problem)?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(problem)?;
        match tail.is_empty() && number * (*factor as f64) < u64::MAX as f64 {
            true => Ok(Self((number * *factor as f64) as u64)),
            false => Err(problem()),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return formatter.write_str("0s");
        }
        for (unit, factor) in TIMES {
            if left >= factor {
                write!(formatter, "{}{unit}", left / factor)?;
                left %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZES[..4].iter().find(|(_, factor)| self.0 >= *factor).unwrap_or(&("B", 1));
        match self.0.is_multiple_of(*factor) {
            true => write!(formatter, "{}{unit}", self.0 / factor),
            false => write!(formatter, "{:.1}{unit}", self.0 as f64 / *factor as f64),
        }
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $examples:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $name, "examples": $examples })
            }
        }
    };
}

as_text!(Duration, "duration-text", ["200ms", "60s", "1h30m"]);
as_text!(Size, "size-text", ["64KiB", "1MiB"]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Up to a century, to the millisecond.
        #[test]
        fn durations_are_read_as_they_are_shown(millis in 0_u64..3_155_760_000_000) {
            let duration = Duration::millis(millis);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn sizes_are_read_as_they_are_shown(number in 0_u64..1 << 13, unit in 0_u32..4) {
            let size = Size(number << (10 * unit));
            let read: Size = size.to_string().parse().unwrap();
            // Shown to a tenth of a unit.
            let close = read.bytes().abs_diff(size.bytes()) <= size.bytes() / 20;
            prop_assert!(close, "{} is read as {} bytes", size, read.bytes());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.dhmskKMGTiB -]{0,12}|\\PC{0,12}") {
            let _ = text.parse::<Duration>();
            let _ = text.parse::<Size>();
        }
    }
}
