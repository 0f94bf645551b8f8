//! Times in the forms of logs.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::scan::Scan;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Date and time of day, with the offset from UTC that was written with it.
struct Written {
    civil: DateTime,
    /// Offset in seconds; `None` if there was none.
    offset: Option<i64>,
    second: i16,
}

/// Parses a time to UTC. The forms are RFC 3339 (also with a space for the `T`, in lower case, without an offset, or a date
/// alone), that of access logs, and a number since 1970.
pub(crate) fn any(text: &str) -> Option<DateTime> {
    let text = text.as_bytes();
    let log;
    let text = match access_log(text) {
        Some(time) => {
            log = time;
            &log[..]
        }
        None => text,
    };
    match written(text) {
        Some(written) => in_utc(&written),
        None => date(text).map(|date| date.at(0, 0, 0, 0)).or_else(|| since_1970(text)),
    }
}

/// Tells whether the text is a time of RFC 3339 as syslog has it: with `T`, with an offset, and without a leap second.
pub(crate) fn is_of_syslog(text: &[u8]) -> bool {
    let is_strict = |written: &Written| written.offset.is_some() && written.second < 60;
    let has_capitals = text.get(10) == Some(&b'T') && !text.ends_with(b"z");
    has_capitals && written(text).as_ref().is_some_and(is_strict)
}

fn in_utc(written: &Written) -> Option<DateTime> {
    let offset = SignedDuration::from_secs(written.offset.unwrap_or(0));
    written.civil.checked_sub(offset).ok().filter(|time| (0..=9999).contains(&time.year()))
}

fn date(text: &[u8]) -> Option<Date> {
    let (year, month, day) = match *text {
        [ref year @ .., b'-', m1, m2, b'-', d1, d2] if year.len() == 4 => (number(year)?, [m1, m2], [d1, d2]),
        _ => return None,
    };
    Date::new(year, i8::try_from(number(&month)?).ok()?, i8::try_from(number(&day)?).ok()?).ok()
}

/// Parses `2026-07-01T12:00:00.5+02:00`. The offset is optional.
fn written(text: &[u8]) -> Option<Written> {
    let mut scan = Scan::new(text);
    let mut next = |length: usize| (scan.rest().len() >= length).then(|| scan.take(length));
    let date = date(next(10)?)?;
    matches!(next(1)?, b"T" | b"t" | b" ").then_some(())?;
    let clock = next(8)?;
    (clock[2] == b':' && clock[5] == b':').then_some(())?;
    let (hour, minute, second) = (number(&clock[..2])?, number(&clock[3..5])?, number(&clock[6..])?);
    (second <= 60).then_some(())?;
    let nanoseconds =
        if scan.skip(b".") { fraction(scan.while_byte(|byte| byte.is_ascii_digit()))? } else { 0 };
    let offset = match *scan.rest() {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), ref offset @ ..] if offset.len() == 5 && offset[2] == b':' => {
            let (hours, minutes) = (number(&offset[..2])?, number(&offset[3..])?);
            (hours <= 23 && minutes <= 59).then_some(())?;
            let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => return None,
    };
    let small = |number: i16| i8::try_from(number).ok();
    // A leap second is the last second of its minute.
    let time =
        jiff::civil::Time::new(small(hour)?, small(minute)?, small(second.min(59))?, nanoseconds).ok()?;
    Some(Written { civil: date.to_datetime(time), offset, second })
}

/// Parses the one to nine digits after a point, in billionths.
fn fraction(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    Some(number * 10_i32.pow(9 - digits.len() as u32))
}

/// Parses seconds (9 or 10 digits before the point), milliseconds (13), microseconds (16) or nanoseconds (19) since 1970.
/// Other numbers are refused, among them dates such as `20260701120000`.
fn since_1970(text: &[u8]) -> Option<DateTime> {
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction_of) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], i128::from(fraction(check_digits(&text[point + 1..])?)?)),
        None => (text, 0),
    };
    let number: i128 = std::str::from_utf8(check_digits(whole)?).ok()?.parse().ok()?;
    let nanoseconds = match whole.len() {
        9 | 10 => number * 1_000_000_000 + fraction_of,
        13 => number * 1_000_000 + fraction_of / 1000,
        16 if fraction_of == 0 => number * 1000,
        19 if fraction_of == 0 => number,
        _ => return None,
    };
    let time = Timestamp::from_nanosecond(sign * nanoseconds).ok()?;
    Some(TimeZone::UTC.to_datetime(time))
}

fn check_digits(text: &[u8]) -> Option<&[u8]> {
    text.iter().all(u8::is_ascii_digit).then_some(text)
}

/// Returns the number of a month, from 1, by its English abbreviation.
pub(crate) fn month(name: &[u8]) -> Option<i8> {
    MONTHS.iter().position(|month| *month == name).map(|index| index as i8 + 1)
}

/// Converts `10/Oct/2000:13:55:36 -0700` to RFC 3339, in its own offset.
pub(crate) fn access_log(text: &[u8]) -> Option<[u8; 25]> {
    let at = |index: usize, byte: u8| text.get(index) == Some(&byte);
    let punctuated = text.len() == 26
        && [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')]
            .into_iter()
            .all(|(index, byte)| at(index, byte));
    if !punctuated || !(at(21, b'+') || at(21, b'-')) {
        return None;
    }
    let (day, month, year) = (number(&text[..2])?, month(&text[3..6])?, number(&text[7..11])?);
    let (hour, minute, second) = (number(&text[12..14])?, number(&text[15..17])?, number(&text[18..20])?);
    let (offset_hours, offset_minutes) = (number(&text[22..24])?, number(&text[24..])?);
    Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    if hour > 23 || minute > 59 || second > 60 || offset_hours > 23 || offset_minutes > 59 {
        return None;
    }
    let mut time = *b"yyyy-mm-ddThh:mm:ss+hh:mm";
    time[..4].copy_from_slice(&text[7..11]);
    time[5..7].copy_from_slice(&[b'0' + month as u8 / 10, b'0' + month as u8 % 10]);
    time[8..10].copy_from_slice(&text[..2]);
    time[11..19].copy_from_slice(&text[12..20]);
    time[19..22].copy_from_slice(&text[21..24]);
    time[23..].copy_from_slice(&text[24..]);
    Some(time)
}

/// Parses digits.
pub(crate) fn number(digits: &[u8]) -> Option<i16> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    digits.iter().try_fold(0_i16, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}
