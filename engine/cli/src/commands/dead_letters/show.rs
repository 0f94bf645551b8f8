//! `tidegate dead-letters show`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tidegate_runtime::dead_letters::Raw;

use super::stores::{Found, Stores};
use crate::exit::{Exit, Failure};
use crate::options::DataDir;
use crate::terminal::hexdump::hexdump;
use crate::terminal::quantity::count;
use crate::terminal::{self, Paint, escape_control};

/// Prints one dead letter with its payload.
pub(super) fn show(id: u64, pipeline: Option<&str>, data_dir: &DataDir) -> Result<Exit, Failure> {
    let found = Stores::open(&data_dir.resolve()?, pipeline)?.only(id)?;
    terminal::out(&details(&found, Paint::for_stdout(), &TimeZone::system()))?;
    Ok(Exit::Done)
}

fn details(found: &Found, paint: Paint, zone: &TimeZone) -> String {
    let one = &found.dead_letter;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{} {value}\n", paint.dim(&format!("{name:<10}"))));
    };
    let origin = if one.partition.is_empty() {
        one.source.clone()
    } else {
        format!("{}, {}", one.source, escape_control(&one.partition))
    };
    line("id", &one.id.to_string());
    line("pipeline", &found.pipeline);
    line("time", &time(one.time, zone, "%Y-%m-%d %H:%M:%S%.3f %:z"));
    line("component", &paint.bold(&one.component));
    line("reason", &paint.red(&escape_control(&one.reason)));
    line("from", &format!("{origin}, batch {}, event {}", count(one.sequence), count(one.index.into())));
    line("attempts", &one.attempts.to_string());
    let kept = one.payload.len() as u64;
    let cut = if kept < one.length {
        format!(", of which the first {} are kept", count(kept))
    } else {
        String::new()
    };
    line("size", &format!("{} bytes{cut}", count(one.length)));
    if let Some(time) = one.timestamp {
        line("timestamp", &timestamp(time, zone));
    }
    if let Some(Raw(key)) = &one.key {
        line("key", &escape_control(&String::from_utf8_lossy(key)));
    }
    for (name, value) in &one.attributes {
        line("attribute", &escape_control(&format!("{name} = {}", plain(value))));
    }
    match one.unreplayable() {
        Some(reason) => line("replay", &format!("cannot be replayed: {reason}")),
        None => line("replay", &format!("at `{}`, as it is below", one.component)),
    }
    text.push('\n');
    text.push_str(&payload(&one.payload));
    text
}

/// Formats a value without the quotes of a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Formats a payload: text as it is, anything else as a hex dump.
fn payload(bytes: &[u8]) -> String {
    let unprintable = |one: char| one.is_control() && !matches!(one, '\n' | '\r' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(unprintable) => format!("{}\n", text.trim_end_matches('\n')),
        _ => hexdump(bytes),
    }
}

/// Formats a time in milliseconds since the epoch.
pub(super) fn time(milliseconds: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => format!("{milliseconds} ms"),
    }
}

/// Formats an event time in nanoseconds since the epoch.
fn timestamp(nanoseconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.f %:z").to_string(),
        Err(_) => format!("{nanoseconds} ns"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use tidegate_runtime::dead_letters::DeadLetter;

    use super::*;

    /// Dead letter of the component `parse`.
    pub(in crate::commands::dead_letters) fn dead_letter(pipeline: &str, id: u64, payload: &[u8]) -> Found {
        let dead_letter = DeadLetter {
            id,
            time: 1_700_000_000_123,
            component: "parse".into(),
            reason: "malformed JSON\nat byte 3".into(),
            source: "lines".into(),
            partition: "/var/log/x".into(),
            sequence: 1234,
            index: 5,
            attempts: 1,
            length: payload.len() as u64,
            timestamp: Some(1_700_000_000_000_000_500),
            key: Some(Raw(b"k\x1bx".to_vec())),
            attributes: [("path".to_owned(), json!("/x")), ("port".to_owned(), json!(80))].into(),
            payload: payload.to_vec(),
        };
        Found { pipeline: pipeline.into(), dead_letter }
    }

    #[test]
    fn details_show_the_origin_the_reason_and_the_payload() {
        let mut one = dead_letter("logs", 9, b"{\"a\": oops}\n");
        one.dead_letter.length = 5000;
        let expected = "\
id         9
pipeline   logs
time       2023-11-14 22:13:20.123 +00:00
component  parse
reason     malformed JSON at byte 3
from       lines, /var/log/x, batch 1,234, event 5
attempts   1
size       5,000 bytes, of which the first 12 are kept
timestamp  2023-11-14 22:13:20.0000005 +00:00
key        k x
attribute  path = /x
attribute  port = 80
replay     cannot be replayed: REASON

{\"a\": oops}
";
        let expected = expected.replace("REASON", one.dead_letter.unreplayable().unwrap());
        assert_eq!(details(&one, Paint::PLAIN, &TimeZone::UTC), expected);
    }

    #[test]
    fn a_payload_cannot_control_the_terminal() {
        assert_eq!(payload("tab\tand\nline é".as_bytes()), "tab\tand\nline é\n");
        assert!(payload(b"\x1b[2J").starts_with("00000000  1b 5b 32 4a"));
        assert!(payload(b"\xff\xfe").starts_with("00000000  ff fe"));
    }
}
