//! The value that asks for what is new only.

use std::cmp::Ordering;

use tidegate_sdk::json::Path;

use super::options::{CursorOptions, Keep};

/// How the value is found and compared.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) parameter: String,
    pub(super) initial: Option<String>,
    from: Path,
    keep: Keep,
}

impl Cursor {
    pub(super) fn new(options: CursorOptions) -> Self {
        let CursorOptions { from, parameter, initial, keep } = options;
        Self { parameter, initial: initial.map(|value| value.0), from, keep }
    }

    /// Takes note of an event. One without the value changes nothing.
    pub(super) fn see(&self, seen: &mut Option<String>, event: &[u8]) {
        let Ok(Some(value)) = self.from.find_text(event) else { return };
        let newer = match (self.keep, &*seen) {
            (Keep::Greatest, Some(known)) => compare(&value, known) == Ordering::Greater,
            _ => true,
        };
        if newer {
            *seen = Some(value.into_owned());
        }
    }
}

/// Numbers by size, also in quotes; any other text by its characters, which suits times as ISO 8601 writes
/// them.
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

    #[test]
    fn numbers_are_compared_by_size_and_text_by_characters() {
        assert_eq!(compare("10", "9"), Ordering::Greater);
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("1.5", "1.25"), Ordering::Greater);
        assert_eq!(compare("2026-01-02T00:00:00Z", "2025-12-31T00:00:00Z"), Ordering::Greater);
        assert_eq!(compare("b", "a"), Ordering::Greater);
    }
}
