//! Times as numbers since 1970.

use super::{TimeUnit, shown};

/// The seconds from 2001-01-01 up to 2101-01-01.
const RECOGNIZED: std::ops::Range<i128> = 978_307_200..4_133_980_800;

/// The most digits and the greatest exponent that a time can have.
const DIGITS: usize = 60;

/// Reads a decimal number as a time, exactly. Digits below a nanosecond are cut off.
pub(super) fn parse(text: &[u8], unit: Option<TimeUnit>) -> Result<i64, String> {
    let number = Decimal::parse(text).ok_or_else(|| format!("{} is not a number", shown(text)))?;
    let Some(unit) = unit.or_else(|| number.unit()) else {
        let number = String::from_utf8_lossy(&text[..text.len().min(DIGITS)]);
        return Err(format!(
            "the number {number} is not a time from 2001 to 2100 in any unit; set `time_unit`"
        ));
    };
    let time = number.scaled(unit.nanoseconds()).and_then(|time| i64::try_from(time).ok());
    time.filter(|time| *time != i64::MIN).ok_or_else(|| {
        format!("the number {} is not a time from 1678 to 2261 in `{}`", shown(text), unit.name())
    })
}

/// The number `digits` times ten to the power of `exponent`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut number = Self { digits: 0, exponent: 0 };
        let (mut rest, mut seen) = (rest, 0);
        let mut after_point = false;
        while let [first, tail @ ..] = rest {
            match first {
                b'0'..=b'9' => {
                    seen += 1;
                    number.push(first - b'0', after_point)?;
                }
                b'.' if !after_point && seen > 0 => after_point = true,
                _ => break,
            }
            rest = tail;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            let exponent: i32 = std::str::from_utf8(exponent).ok()?.parse().ok()?;
            number.exponent = number.exponent.checked_add(exponent)?;
            rest = &[];
        }
        if negative {
            number.digits = -number.digits;
        }
        (seen > 0 && rest.is_empty()).then_some(number)
    }

    /// Appends a digit. Digits of a fraction that an `i128` does not hold are cut off.
    fn push(&mut self, digit: u8, after_point: bool) -> Option<()> {
        let digits = self.digits.checked_mul(10).and_then(|digits| digits.checked_add(i128::from(digit)));
        match digits {
            Some(digits) => {
                self.digits = digits;
                self.exponent -= i32::from(after_point);
            }
            None if after_point => {}
            None => return None,
        }
        Some(())
    }

    /// The unit in which the number is a time from 2001 to 2100.
    fn unit(self) -> Option<TimeUnit> {
        let in_nanoseconds = |unit: TimeUnit| self.scaled(unit.nanoseconds());
        let second = i128::from(super::SECOND);
        let recognized = |time: i128| RECOGNIZED.contains(&time.div_euclid(second));
        TimeUnit::ALL.into_iter().find(|unit| in_nanoseconds(*unit).is_some_and(recognized))
    }

    /// The number times `factor`, rounded down. `None` if it is out of the range of times.
    fn scaled(self, factor: i64) -> Option<i128> {
        let number = self.digits.checked_mul(i128::from(factor));
        if self.digits == 0 {
            return Some(0);
        }
        let power = self.exponent.unsigned_abs();
        if self.exponent < 0 {
            // A fraction with this many digits is below a nanosecond.
            let divisor = 10_i128.checked_pow(power);
            let Some(divisor) = divisor else { return Some(if self.digits < 0 { -1 } else { 0 }) };
            Some(match number {
                Some(number) => number.div_euclid(divisor),
                None => self.digits.div_euclid(divisor).checked_mul(i128::from(factor))?,
            })
        } else {
            number?.checked_mul(10_i128.checked_pow(power)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event_time::SECOND;

    #[test]
    fn numbers_are_recognized_by_their_size() {
        let time = 1_767_290_645 * SECOND;
        for (text, expected) in [
            ("1767290645", time),
            ("1767290645.25", time + SECOND / 4),
            ("1.767290645e9", time),
            ("17672906450E-1", time),
            ("1767290645000", time),
            ("1767290645000.5", time + 500_000),
            ("1767290645000000", time),
            ("1767290645000000000", time),
            ("1767290645000000000.9", time),
            ("978307200", 978_307_200 * SECOND),
            ("4133980799.999999999", 4_133_980_800 * SECOND - 1),
            ("978307200000000000", 978_307_200 * SECOND),
            ("4133980799999", 4_133_980_800 * SECOND - 1_000_000),
        ] {
            assert_eq!(parse(text.as_bytes(), None), Ok(expected), "{text}");
        }
        for text in ["978307199", "4133980800", "0", "-1767290645", "12345678901234567890123"] {
            let refused = parse(text.as_bytes(), None).unwrap_err();
            assert!(refused.ends_with("set `time_unit`"), "{refused}");
        }
    }

    #[test]
    fn a_unit_holds_for_numbers_of_every_size() {
        for (text, unit, expected) in [
            ("10", TimeUnit::Seconds, 10 * SECOND),
            ("-1.5", TimeUnit::Seconds, -3 * SECOND / 2),
            ("1767290645", TimeUnit::Milliseconds, 1_767_290_645_000_000),
            ("0e400", TimeUnit::Seconds, 0),
            ("1e-400", TimeUnit::Seconds, 0),
            ("-1e-400", TimeUnit::Seconds, -1),
            ("0.0000000019", TimeUnit::Seconds, 1),
        ] {
            assert_eq!(parse(text.as_bytes(), Some(unit)), Ok(expected), "{text}");
        }
        for text in ["1e400", "9300000000", "1767290645000", "99999999999999999999999999999999999999999"] {
            let refused = parse(text.as_bytes(), Some(TimeUnit::Seconds));
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_in_nanoseconds_are_exact(time in (i64::MIN + 1)..=i64::MAX) {
            prop_assert_eq!(parse(time.to_string().as_bytes(), Some(TimeUnit::Nanoseconds)), Ok(time));
        }

        #[test]
        fn no_number_makes_it_panic(text in "[-+]?[0-9]{0,45}([.][0-9]{0,45})?([eE][-+]?[0-9]{0,12})?") {
            for unit in [None, Some(TimeUnit::Seconds), Some(TimeUnit::Nanoseconds)] {
                let _ = parse(text.as_bytes(), unit);
            }
        }
    }
}
