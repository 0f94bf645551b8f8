//! Syslog messages in both forms: RFC 5424, and the older one of RFC 3164.

mod bsd;
mod ietf;

use crate::fields::Fields;
use crate::scan::Scan;

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

/// Parses a message. A date without a year gets the year that is nearest to `near`, in seconds since 1970.
pub(crate) fn parse(line: &[u8], near: i64, fields: &mut Fields) -> Result<(), String> {
    let mut scan = Scan::new(line);
    let prioritized = priority(&mut scan, fields)?;
    if prioritized && scan.skip(b"1 ") {
        return ietf::parse(&mut scan, fields);
    }
    bsd::parse(&mut scan, near, fields)
}

/// Parses `<34>`: facility times eight, plus severity. Lines that a daemon has written to a file have none.
fn priority(scan: &mut Scan<'_>, fields: &mut Fields) -> Result<bool, String> {
    if !scan.skip(b"<") {
        for field in ["facility", "facility_code", "severity", "severity_code"] {
            fields.null(field);
        }
        return Ok(false);
    }
    let before = *scan;
    let digits = scan.while_byte(|byte| byte.is_ascii_digit());
    let number = std::str::from_utf8(digits).ok().filter(|text| text.len() <= 3);
    let number = number.and_then(|text| text.parse::<u8>().ok()).filter(|number| *number < 192);
    let number = number.ok_or_else(|| before.expected("a priority from 0 to 191"))?;
    scan.expect(">")?;
    let (facility, severity) = (number / 8, number % 8);
    fields.text("facility", FACILITIES[usize::from(facility)].as_bytes());
    fields.integer("facility_code", facility.into());
    fields.text("severity", SEVERITIES[usize::from(severity)].as_bytes());
    fields.integer("severity_code", severity.into());
    Ok(true)
}

/// Writes the message, without the byte order mark that RFC 5424 puts before it.
fn message(text: &[u8], fields: &mut Fields) {
    fields.text("message", text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
}
