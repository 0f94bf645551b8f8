//! Times as RFC 3339 text.

use super::SECOND;

const DAY: i64 = 86_400;

/// Reads an RFC 3339 time; `None` if the text does not begin with a date. A leap second counts as the second after it.
/// Digits below a nanosecond are cut off.
pub(super) fn parse(text: &[u8]) -> Option<Result<i64, &'static str>> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?);
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    Some(time_and_offset(rest).and_then(|time| {
        if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
            return Err("has a day that does not exist");
        }
        let seconds = days_since_1970(year, month, day) * DAY + time.seconds;
        let nanoseconds = i128::from(seconds) * i128::from(SECOND) + i128::from(time.nanoseconds);
        let in_range = i64::try_from(nanoseconds).ok().filter(|time| *time != i64::MIN);
        in_range.ok_or("is not from 1678 to 2261")
    }))
}

/// The time of a day, as seconds (with the offset subtracted) and nanoseconds.
struct OfDay {
    seconds: i64,
    nanoseconds: i64,
}

/// Reads what follows the date.
fn time_and_offset(rest: &[u8]) -> Result<OfDay, &'static str> {
    const MALFORMED: &str = "has a date, and no time of day such as T09:00:00Z";
    let (clock, rest) = rest.split_at_checked(9).ok_or(MALFORMED)?;
    if !matches!(clock[0], b'T' | b't' | b' ') || clock[3] != b':' || clock[6] != b':' {
        return Err(MALFORMED);
    }
    let part = |at: usize| digits(&clock[at..at + 2]).ok_or(MALFORMED);
    let (hour, minute, second) = (part(1)?, part(4)?, part(7)?);
    if hour > 23 || minute > 59 || second > 60 {
        return Err("has a time of day that does not exist");
    }
    let (nanoseconds, rest) = fraction(rest)?;
    let seconds = hour * 3600 + minute * 60 + second - offset(rest)?;
    Ok(OfDay { seconds, nanoseconds })
}

/// Reads the fraction of a second, as nanoseconds.
fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    let [b'.', rest @ ..] = rest else { return Ok((0, rest)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err("has a point without digits");
    }
    let (fraction, rest) = rest.split_at(length);
    let digits = (0..9).map(|at| fraction.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    Ok((digits.fold(0, |sum, digit| sum * 10 + digit), rest))
}

/// Reads the offset from UTC, in seconds.
fn offset(rest: &[u8]) -> Result<i64, &'static str> {
    match *rest {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let (hours, minutes) = (digits(&[a, b]).unwrap_or(24), digits(&[c, d]).unwrap_or(60));
            if hours > 23 || minutes > 59 {
                return Err("has an offset that does not exist");
            }
            let seconds = hours * 3600 + minutes * 60;
            Ok(if sign == b'-' { -seconds } else { seconds })
        }
        [] => Err("has no offset from UTC, such as Z or +09:00"),
        _ => Err("does not end with an offset from UTC, such as Z or +09:00"),
    }
}

/// A number of digits only.
fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in text {
        number = number * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years begin in March here, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Writes a time as RFC 3339 text in UTC, with as many digits of the second as it has: 0, 3, 6 or 9.
pub fn to_text(time: i64) -> String {
    let (seconds, nanoseconds) = (time.div_euclid(SECOND), time.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match nanoseconds {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1000 == 0 => format!(".{:06}", n / 1000),
        n => format!(".{n:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// The reverse of [`days_since_1970`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<i64, &'static str> {
        parse(text.as_bytes()).expect("it begins with a date")
    }

    #[test]
    fn times_are_read_with_fraction_and_offset() {
        for (text, time) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -SECOND / 2),
            ("1970-01-01t00:00:01z", SECOND),
            ("1970-01-01 00:00:01.000000001Z", SECOND + 1),
            ("1970-01-01T00:00:00.0000000019Z", 1),
            ("1970-01-01T09:00:00+09:00", 0),
            ("1969-12-31T19:30:00-04:30", 0),
            ("2000-02-29T00:00:00Z", 951_782_400 * SECOND),
            ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
            ("2262-04-11T23:47:16.854775807Z", i64::MAX),
        ] {
            assert_eq!(read(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn malformed_times_are_refused_with_the_reason() {
        for (text, reason) in [
            ("2026-01-31", "has a date, and no time of day such as T09:00:00Z"),
            ("2026-01-31T09:00Z", "has a date, and no time of day such as T09:00:00Z"),
            ("2026-01-31T09:00:00", "has no offset from UTC, such as Z or +09:00"),
            ("2026-01-31T09:00:00+0900", "does not end with an offset from UTC, such as Z or +09:00"),
            ("2026-01-31T09:00:00.Z", "has a point without digits"),
            ("2026-01-31T24:00:00Z", "has a time of day that does not exist"),
            ("2026-02-29T00:00:00Z", "has a day that does not exist"),
            ("2026-00-10T00:00:00Z", "has a day that does not exist"),
            ("2026-01-31T00:00:00+24:00", "has an offset that does not exist"),
            ("2262-04-12T00:00:00Z", "is not from 1678 to 2261"),
            ("1677-09-21T00:12:43.145224192Z", "is not from 1678 to 2261"),
        ] {
            assert_eq!(read(text), Err(reason), "{text}");
        }
        assert_eq!(parse(b"1700000000"), None);
        assert_eq!(parse("2026-01-\u{e9}".as_bytes()), None);
    }

    proptest! {
        #[test]
        fn a_written_time_is_read_as_the_same(time in (i64::MIN + 1)..=i64::MAX) {
            prop_assert_eq!(parse(to_text(time).as_bytes()), Some(Ok(time)));
        }

        #[test]
        fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }
    }
}
