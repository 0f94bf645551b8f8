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
        return std::str::from_utf8(&time).ok()?.parse().ok();
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

/// The number that these digits stand for.
pub(crate) fn number(digits: &[u8]) -> Option<i16> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    digits.iter().try_fold(0_i16, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}
