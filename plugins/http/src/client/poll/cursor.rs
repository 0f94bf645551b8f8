//! The cursor: the value by which a poll requests new events only.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use tidegate_sdk::ConfigError;
use tidegate_sdk::json::Path;

use super::options::{CursorOptions, Keep};
use super::pages::Place;

/// The rules for the cursor's value.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) parameter: String,
    pub(super) place: Place,
    pub(super) initial: Option<String>,
    from: Path,
    keep: Keep,
}

impl Cursor {
    /// Makes a cursor from its options. `is_placed` is set if a placeholder carries it.
    ///
    /// # Errors
    /// If it is not clear how a request carries the value.
    pub(super) fn new(options: CursorOptions, is_placed: bool) -> Result<Self, ConfigError> {
        let CursorOptions { from, parameter, body_path, initial, keep } = options;
        let places = [parameter.is_some(), body_path.is_some(), is_placed];
        if places.iter().filter(|given| **given).count() != 1 {
            let message = "say exactly one of `parameter`, `body_path` and a placeholder `{cursor}`: how a request carries \
                           the value";
            return Err(ConfigError::at("/cursor", message).help("for example `parameter = \"since\"`"));
        }
        let place = match body_path {
            Some(path) => Place::Body(path.pointer()),
            None if is_placed => Place::Placeholder,
            None => Place::Query,
        };
        Ok(Self {
            parameter: parameter.unwrap_or_default(),
            place,
            initial: initial.map(|value| value.0),
            from,
            keep,
        })
    }

    /// Records the value of an event. An event without the value changes nothing.
    pub(super) fn see(&self, seen: &mut CursorValues, event: &[u8]) {
        let Ok(Some(value)) = self.from.find_text(event) else { return };
        let newer = match (self.keep, &seen.value) {
            (Keep::Greatest, Some(known)) => compare(&value, known) == Ordering::Greater,
            _ => true,
        };
        seen.order.see(&value);
        if newer {
            seen.value = Some(value.into_owned());
        }
    }

    /// Returns the value to which the cursor may move after an incomplete poll. If the values only rose, the unread
    /// ones are not less than the last value. The last one itself may occur again, so the result is the one before. It
    /// is never less than `since`.
    pub(super) fn safe(&self, seen: &CursorValues, since: Option<&str>) -> Option<String> {
        let Order::Rising { before: Some(before), .. } = &seen.order else { return None };
        let on = since.is_none_or(|since| compare(before, since) == Ordering::Greater);
        (on && self.keep == Keep::Greatest).then(|| before.clone())
    }
}

/// The cursor's values in the events of a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CursorValues {
    /// The value that the next poll sends after this one is complete.
    pub(super) value: Option<String>,
    pub(super) order: Order,
}

/// The order of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The values have fallen, or the order is unknown.
    #[default]
    Mixed,
    /// There are no values yet.
    Unknown,
    /// No value was less than the one before it: the last value, and the greatest smaller one.
    Rising { last: String, before: Option<String> },
}

impl Order {
    fn see(&mut self, value: &str) {
        *self = match std::mem::take(self) {
            Self::Mixed => Self::Mixed,
            Self::Unknown => Self::Rising { last: value.to_owned(), before: None },
            Self::Rising { last, before } => match compare(value, &last) {
                Ordering::Less => Self::Mixed,
                Ordering::Equal => Self::Rising { last, before },
                Ordering::Greater => Self::Rising { last: value.to_owned(), before: Some(last) },
            },
        };
    }

    /// Returns whether the order need not be stored.
    pub(super) fn is_mixed(&self) -> bool {
        *self == Self::Mixed
    }
}

impl CursorValues {
    /// The state at the start of a poll that sends `value`.
    pub(super) fn from(value: Option<String>) -> Self {
        Self { value, order: Order::Unknown }
    }
}

/// Compares numbers by size, also in quotes, and other text by its characters, which is right for times in ISO 8601.
fn compare(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return left.cmp(&right);
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right),
        _ => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[u32], keep: Keep) -> (Cursor, CursorValues) {
        let options = CursorOptions {
            from: ".at".parse().unwrap(),
            parameter: Some("since".into()),
            body_path: None,
            initial: None,
            keep,
        };
        let cursor = Cursor::new(options, false).unwrap();
        let mut seen = CursorValues::from(Some("5".into()));
        for value in values {
            cursor.see(&mut seen, format!(r#"{{"at":{value}}}"#).as_bytes());
        }
        (cursor, seen)
    }

    #[test]
    fn a_cursor_may_move_early_only_where_the_values_rise() {
        let safe = |values: &[u32]| {
            let (cursor, seen) = seen(values, Keep::Greatest);
            cursor.safe(&seen, Some("5"))
        };
        assert_eq!(safe(&[7, 8, 8, 10]).as_deref(), Some("8"), "10 may come again on the next page");
        assert_eq!(safe(&[7, 8, 10, 10]).as_deref(), Some("8"));
        for values in [&[][..], &[7], &[7, 7], &[10, 9], &[7, 8, 6, 9], &[3, 4, 5]] {
            assert_eq!(safe(values), None, "{values:?}");
        }
        let (cursor, seen) = seen(&[7, 8], Keep::Last);
        assert_eq!(cursor.safe(&seen, None), None);
        assert_eq!(seen.value.as_deref(), Some("8"));
    }

    #[test]
    fn numbers_are_compared_by_size_and_text_by_characters() {
        assert_eq!(compare("10", "9"), Ordering::Greater);
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("1.5", "1.25"), Ordering::Greater);
        assert_eq!(compare("2026-01-02T00:00:00Z", "2025-12-31T00:00:00Z"), Ordering::Greater);
        assert_eq!(compare("b", "a"), Ordering::Greater);
    }
}
