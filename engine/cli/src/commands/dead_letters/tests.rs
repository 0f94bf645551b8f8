use tidegate_runtime::dead_letters::DeadLetter;

use super::*;

fn letter(pipeline: &str, id: u64, payload: &[u8]) -> Found {
    let letter = DeadLetter {
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
    Found { pipeline: pipeline.into(), letter }
}

#[test]
fn the_list_is_a_table() {
    let found = [letter("logs", 9, b"12345"), letter("users", 10, &[0; 2048])];
    let expected = "\
pipeline  id  time                 component     size  reason
logs       9  2023-11-14 22:13:20  parse          5 B  malformed JSON at byte 3
users     10  2023-11-14 22:13:20  parse      2.0 KiB  malformed JSON at byte 3
";
    assert_eq!(table(&found, Paint::PLAIN, &TimeZone::UTC), expected);
}

#[test]
fn the_whole_letter_says_where_it_came_from() {
    let mut one = letter("logs", 9, b"{\"a\": oops}\n");
    one.letter.length = 5000;
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
replay     cannot be replayed: it was refused while it was read, and only its head is kept

{\"a\": oops}
";
    assert_eq!(whole(&one, Paint::PLAIN, &TimeZone::UTC), expected);
}

#[test]
fn a_payload_cannot_steer_the_terminal() {
    assert_eq!(payload("tab\tand\nline é".as_bytes()), "tab\tand\nline é\n");
    assert!(payload(b"\x1b[2J").starts_with("00000000  1b 5b 32 4a"));
    assert!(payload(b"\xff\xfe").starts_with("00000000  ff fe"));
}

#[test]
fn remarks_say_what_is_not_shown() {
    assert_eq!(remarks(0, 0, 0, false), "there are no dead letters\n");
    assert_eq!(remarks(0, 0, 0, true), "there are no dead letters like this\n");
    assert_eq!(
        remarks(100, 20, 2, false),
        "20 older ones not shown; --limit 120 shows all\n2 entries could not be read: damaged on disk\n"
    );
}

#[test]
fn json_lines_have_the_pipeline() {
    let line = json_lines(&[letter("logs", 9, b"x")]);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((value["pipeline"].as_str(), value["id"].as_u64()), (Some("logs"), Some(9)));
}
