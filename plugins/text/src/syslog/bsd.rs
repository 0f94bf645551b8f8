//! The older form: `Oct 11 22:14:15 host program[12]: message`, or the same with a time of RFC 3339, as
//! daemons write it to files today.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use memchr::memmem;

use super::message;
use crate::fields::Fields;
use crate::scan::Scan;
use crate::time;

pub(super) fn parse(scan: &mut Scan<'_>, near: i64, fields: &mut Fields) -> Result<(), String> {
    let before = *scan;
    match scan.peek() {
        Some(b'0'..=b'9') => {
            let written = std::str::from_utf8(scan.until(b' ', "a time")?).ok();
            let written = written.filter(|text| text.parse::<Timestamp>().is_ok());
            let written = written.ok_or_else(|| before.expected("a time of RFC 3339"))?;
            fields.text("timestamp", written.as_bytes());
        }
        _ => {
            let stamp = if scan.rest().len() > 16 { scan.take(16) } else { b"" };
            let time = stamp.strip_suffix(b" ").and_then(|stamp| with_year(stamp, near));
            let time = time.ok_or_else(|| before.expected("a time like `Oct 11 22:14:15`"))?;
            fields.time("timestamp", time);
        }
    }
    fields.text_or_null("hostname", scan.until(b' ', "a host name")?);
    tag(scan, fields);
    fields.null("msg_id");
    fields.null("structured_data");
    message(scan.rest(), fields);
    Ok(())
}

/// `program[12]: ` or `program: `. A message without one is a message all the same.
fn tag(scan: &mut Scan<'_>, fields: &mut Fields) {
    let rest = scan.rest();
    let end = memmem::find(rest, b":").filter(|end| !rest[..*end].contains(&b' '));
    let Some(end) = end.filter(|end| *end > 0) else {
        fields.null("app_name");
        return fields.null("proc_id");
    };
    let tag = scan.take(end);
    scan.skip(b": ");
    scan.skip(b":");
    let bracket = tag.iter().position(|byte| *byte == b'[').filter(|_| tag.ends_with(b"]"));
    match bracket {
        Some(at) if at > 0 => {
            fields.text("app_name", &tag[..at]);
            fields.text("proc_id", &tag[at + 1..tag.len() - 1]);
        }
        _ => {
            fields.text("app_name", tag);
            fields.null("proc_id");
        }
    }
}

/// `Oct 11 22:14:15` in the year that brings it nearest to `near`, as UTC.
fn with_year(stamp: &[u8], near: i64) -> Option<Timestamp> {
    let punctuated =
        stamp.len() == 15 && stamp[3] == b' ' && stamp[6] == b' ' && stamp[9] == b':' && stamp[12] == b':';
    if !punctuated {
        return None;
    }
    let month = time::month(&stamp[..3])?;
    let day = time::number(stamp[4..6].trim_ascii_start())?;
    let (hour, minute, second) =
        (time::number(&stamp[7..9])?, time::number(&stamp[10..12])?, time::number(&stamp[13..])?);
    let clock = jiff::civil::Time::new(
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        // A leap second is the last second of its minute.
        i8::try_from(second).ok().filter(|second| *second <= 60)?.min(59),
        0,
    );
    let (day, clock) = (i8::try_from(day).ok()?, clock.ok()?);
    let this_year = Timestamp::from_second(near).ok()?.to_zoned(TimeZone::UTC).year();
    let in_year = |year: i16| {
        let date = Date::new(year, month, day).ok()?;
        DateTime::from_parts(date, clock).to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    // The 29th of February may be four years away, or eight around 1900 and 2100.
    let years = (this_year - 8).max(1)..=(this_year + 8).min(9998);
    years.filter_map(in_year).min_by_key(|time| time.as_second().abs_diff(near))
}
