//! Older form: `Oct 11 22:14:15 host program[12]: message`, or the same with a time of RFC 3339, as daemons write it to files
//! today.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use memchr::memchr;

use super::message;
use crate::fields::Fields;
use crate::scan::Scan;
use crate::time;

pub(super) fn parse(scan: &mut Scan<'_>, near: i64, fields: &mut Fields) -> Result<(), String> {
    let before = *scan;
    match scan.peek() {
        Some(b'0'..=b'9') => {
            let written = Some(scan.until(b' ', "a time")?).filter(|text| time::is_of_syslog(text));
            let written = written.ok_or_else(|| before.expected("a time of RFC 3339"))?;
            fields.text("timestamp", written);
        }
        _ => {
            let stamp = if scan.rest().len() > 16 { scan.take(16) } else { b"" };
            let time = stamp.strip_suffix(b" ").and_then(|stamp| with_year(stamp, near));
            let time = time.ok_or_else(|| before.expected("a time like `Oct 11 22:14:15`"))?;
            fields.time("timestamp", time);
        }
    }
    host(scan, fields)?;
    tag(scan, fields);
    fields.null("msg_id");
    fields.null("structured_data");
    message(scan.rest(), fields);
    Ok(())
}

/// Parses the name of the host. A message that has not left its machine has none, and begins with the tag.
fn host(scan: &mut Scan<'_>, fields: &mut Fields) -> Result<(), String> {
    let before = *scan;
    let host = scan.until(b' ', "a host name")?;
    let is_address = || std::str::from_utf8(host).is_ok_and(|host| host.parse::<IpAddr>().is_ok());
    if host.ends_with(b":") && !is_address() {
        *scan = before;
        fields.null("hostname");
    } else {
        fields.text_or_null("hostname", host);
    }
    Ok(())
}

/// Parses `program[12]: ` or `program: `: a word with a colon, followed by a space or the end. A message needs none.
fn tag(scan: &mut Scan<'_>, fields: &mut Fields) {
    let rest = scan.rest();
    let word = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    let is_tag = |tag: &&[u8]| !tag.is_empty() && !tag.iter().any(u8::is_ascii_control);
    let Some(tag) = word.strip_suffix(b":").filter(is_tag) else {
        fields.null("app_name");
        return fields.null("proc_id");
    };
    scan.take(word.len());
    scan.skip(b" ");
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

/// Returns `Oct 11 22:14:15` in the year in which it is nearest to `near`, as UTC.
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
