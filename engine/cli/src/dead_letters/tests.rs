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
fn a_number_that_several_pipelines_have_needs_the_pipeline() {
    let found = || vec![letter("a", 1, b""), letter("b", 1, b""), letter("b", 2, b"")];
    assert_eq!(only(2, found()).map(|one| one.pipeline).unwrap(), "b");
    let message = |id| only(id, found()).err().unwrap().message;
    assert!(message(1).contains("dead letter 1: a, b; say which"), "{}", message(1));
    assert!(message(3).contains("no dead letter 3"), "{}", message(3));
}

#[test]
fn a_data_folder_that_is_not_there_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(pipelines(&folder.path().join("none")).unwrap().is_empty());
    std::fs::create_dir(folder.path().join("b")).unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("lock"), "").unwrap();
    assert_eq!(pipelines(folder.path()).unwrap(), ["a", "b"]);
    for id in ["../a", "a/../b", ".."] {
        assert!(read(folder.path(), Some(id)).is_err(), "{id}");
    }
}

#[test]
fn remarks_say_what_is_not_shown() {
    assert_eq!(remarks(0, 0, 0), "there are no dead letters\n");
    assert_eq!(
        remarks(100, 20, 2),
        "20 older ones not shown; --limit 120 shows all\n2 entries could not be read: damaged on disk\n"
    );
}

#[test]
fn json_lines_have_the_pipeline() {
    let line = json_lines(&[letter("logs", 9, b"x")]);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((value["pipeline"].as_str(), value["id"].as_u64()), (Some("logs"), Some(9)));
}
