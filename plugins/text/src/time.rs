//! Times as logs write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Numbers from here on are milliseconds: as seconds they would be past the year 5000.
const MILLISECONDS: f64 = 1e11;

/// A time in any of the forms that are understood.
pub(crate) fn any(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(number) = text.parse::<f64>() {
        return since_1970(text, number);
    }
    if let Some(time) = access_log(text.as_bytes()) {
        return time.parse().ok();
    }
    let civil = text.parse::<DateTime>().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn since_1970(text: &str, number: f64) -> Option<Timestamp> {
    let milliseconds = number.abs() >= MILLISECONDS;
    match text.parse::<i64>() {
        Ok(whole) if milliseconds => Timestamp::from_millisecond(whole).ok(),
        Ok(whole) => Timestamp::from_second(whole).ok(),
        Err(_) => {
            let seconds = if milliseconds { number / 1000.0 } else { number };
            // A double holds about a microsecond of present times; what is beyond that would be noise.
            let microseconds = (seconds * 1e6).round();
            (microseconds.abs() < 1e18).then(|| Timestamp::from_microsecond(microseconds as i64).ok())?
        }
    }
}

/// The number of a month, from 1, by its English abbreviation.
pub(crate) fn month(name: &[u8]) -> Option<i8> {
    MONTHS.iter().position(|month| *month == name).map(|index| index as i8 + 1)
}

/// `10/Oct/2000:13:55:36 -0700` as RFC 3339, in its own offset.
pub(crate) fn access_log(text: &[u8]) -> Option<String> {
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
    let sign = char::from(text[21]);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{offset_hours:02}:{offset_minutes:02}"
    ))
}

/// The number that these digits stand for.
pub(crate) fn number(digits: &[u8]) -> Option<i16> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    digits.iter().try_fold(0_i16, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}
