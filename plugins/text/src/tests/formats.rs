//! JSON, logfmt, csv, patterns, typed fields, and what holds for every format.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_testkit as testkit;

use super::{filter, format, parse};

#[test]
fn json_is_checked_and_passed_on_as_it_is() {
    let (texts, rejected) =
        testkit::apply(filter(&format("json")).as_mut(), ["{ \"a\" : 1.0 }", "{", "[1] x"]);
    assert_eq!(texts, ["{ \"a\" : 1.0 }"]);
    assert_eq!(rejected.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [1, 2]);
    assert!(rejected[1].1.contains("at byte 4"), "{}", rejected[1].1);
    assert!(parse(&format("json"), b"\"\xff\"").unwrap_err().contains("at byte 1: this is not UTF-8"));
}

#[test]
fn csv_records() {
    let options = json!({ "format": "csv", "columns": ["id", "name", "city"], "types": { "id": "integer" } });
    let parse = |line: &str| parse(&options, line);
    assert_eq!(parse("7,\"O\"\"Neil, A\",").unwrap(), json!({ "id": 7, "name": "O\"Neil, A", "city": "" }));
    assert_eq!(parse("7,\"a\nb\",x\r\n").unwrap(), json!({ "id": 7, "name": "a\nb", "city": "x" }));
    assert_eq!(parse(",\"\",x").unwrap(), json!({ "id": null, "name": "", "city": "x" }));
    for (line, reason) in [
        ("7,x", "the record has 2 fields, but there are 3 columns"),
        ("7", "the record has 1 field, but there are 3 columns"),
        ("7,x,y,z", "the record has 4 fields, but there are 3 columns"),
        ("7,\"x", "the quote of a field is never closed (byte 4)"),
        ("7,\"x\"y,z", "something follows the closing quote of a field (byte 5)"),
        ("7,5\" disk,x", "a quote stands in a field that does not begin with one (byte 3)"),
        ("7,x,y\n8,x,y", "the record ends at byte 6, and more follows; an event is one record"),
        ("7,x,a\rb", "a carriage return without a line feed stands outside of quotes (byte 5)"),
        ("seven,x,y", "`id` is `seven`, which is not a whole number"),
    ] {
        assert!(parse(line).unwrap_err().contains(reason), "{line}: {:?}", parse(line));
    }
    let tabs = json!({ "format": "csv", "columns": ["a", "b"], "delimiter": "\t" });
    assert_eq!(super::parse(&tabs, "1,2\t3").unwrap(), json!({ "a": "1,2", "b": "3" }));
}

#[test]
fn a_pattern_with_named_groups() {
    let options = json!({
        "format": "regex", "pattern": r"^(?<level>[A-Z]+) +(?:\[(?<id>\d+)\] )?(?<message>.*)$",
        "types": { "id": "integer" }
    });
    let expected = json!({ "level": "WARN", "id": 12, "message": "full" });
    assert_eq!(parse(&options, "WARN  [12] full").unwrap(), expected);
    assert_eq!(parse(&options, "INFO ok").unwrap(), json!({ "level": "INFO", "id": null, "message": "ok" }));
    let reason = parse(&options, "WARNING! full").unwrap_err();
    assert_eq!(reason, "the line does not match the pattern: ` +` does not match at byte 7, at `! full`");
    let reason = parse(&options, "lower case").unwrap_err();
    assert_eq!(
        reason,
        "the line does not match the pattern: `(?<level>[A-Z]+)` does not match at byte 0, at `lower case`"
    );
    let bytes = parse(&options, b"INFO \xff!").unwrap();
    assert_eq!(bytes["message"], "\u{fffd}!");
}

#[test]
fn types_convert_or_reject() {
    let one = |kind: &str, value: &str| {
        let options = json!({ "format": "csv", "columns": ["v"], "types": { "v": kind } });
        parse(&options, value).map(|event| event["v"].clone())
    };
    for (kind, value, expected) in [
        ("integer", "-007", json!(-7)),
        ("integer", " 12 ", json!(12)),
        ("float", "1e3", json!(1000.0)),
        ("float", "+.5", json!(0.5)),
        ("boolean", "Yes", json!(true)),
        ("boolean", "0", json!(false)),
        ("text", "12", json!("12")),
        ("timestamp", "2026-07-01T12:00:00+02:00", json!("2026-07-01T10:00:00Z")),
        ("timestamp", "2026-07-01 12:00:00", json!("2026-07-01T12:00:00Z")),
        ("timestamp", "10/Oct/2000:13:55:36 -0700", json!("2000-10-10T20:55:36Z")),
        ("timestamp", "1500000000", json!("2017-07-14T02:40:00Z")),
        ("timestamp", "1500000000123", json!("2017-07-14T02:40:00.123Z")),
        ("timestamp", "1500000000.25", json!("2017-07-14T02:40:00.25Z")),
        ("timestamp", "1500000000123.5", json!("2017-07-14T02:40:00.1235Z")),
        ("timestamp", "1500000000123456", json!("2017-07-14T02:40:00.123456Z")),
        ("timestamp", "1500000000123456789", json!("2017-07-14T02:40:00.123456789Z")),
        ("timestamp", "-100000000", json!("1966-10-31T14:13:20Z")),
        ("timestamp", "9999-12-31T23:59:59Z", json!("9999-12-31T23:59:59Z")),
        ("timestamp", "0000-01-01t00:00:00.000000001z", json!("0000-01-01T00:00:00.000000001Z")),
        ("timestamp", "2026-07-01", json!("2026-07-01T00:00:00Z")),
        ("timestamp", "2026-07-01 12:00:00.5-00:30", json!("2026-07-01T12:30:00.5Z")),
        ("timestamp", "2016-12-31T23:59:60Z", json!("2016-12-31T23:59:59Z")),
        ("float", "", Value::Null),
    ] {
        assert_eq!(one(kind, value).unwrap(), expected, "{kind} {value}");
    }
    for (kind, value, reason) in [
        ("integer", "1.5", "`v` is `1.5`, which is not a whole number"),
        ("float", "nan", "`v` is `nan`, which is not a number"),
        ("float", "1e999", "is not a number"),
        ("boolean", "maybe", "`v` is `maybe`, which is not true or false"),
        ("timestamp", "yesterday", "`v` is `yesterday`, which is not a time"),
        ("timestamp", "1e300", "is not a time"),
        ("timestamp", "2026-07-01T12:00:00+02:00[Europe/Berlin]", "is not a time"),
        ("timestamp", "2026-07-01T12:00:00[Europe/Berlin]", "is not a time"),
        ("timestamp", "20260701120000", "`v` is `20260701120000`, which is not a time"),
        ("timestamp", "20260701", "is not a time"),
        ("timestamp", "202607011200", "is not a time"),
        ("timestamp", "20260701T120000Z", "is not a time"),
        ("timestamp", "9999-12-31T23:59:59-01:00", "is not a time"),
        ("timestamp", "2026-02-29T00:00:00Z", "is not a time"),
        ("timestamp", "2026-07-01T24:00:00Z", "is not a time"),
        ("timestamp", "2026-07-01T12:00:00.Z", "is not a time"),
        ("timestamp", "2026-07-01T12:00:00+0200", "is not a time"),
        ("timestamp", "1500000000e0", "is not a time"),
        ("timestamp", "12", "is not a time"),
        ("integer", &"9".repeat(100), "`v` is `99999999999999999999999999999999...`, which"),
    ] {
        assert!(one(kind, value).unwrap_err().contains(reason), "{kind} {value}");
    }
}

#[test]
fn text_at_a_place_in_the_event_is_merged_into_it() {
    let options = json!({ "format": "logfmt", "field": ".log.text" });
    let event = r#"{"host":"h","log":{"text":"a=\"1\\n\" host=x"},"n": 1.0}"#;
    let (texts, _) = testkit::apply(filter(&options).as_mut(), [event]);
    assert_eq!(texts, [r#"{"log":{"text":"a=\"1\\n\" host=x"},"n":1.0,"a":"1\n","host":"x"}"#]);
    for event in [r#"{"host":"h"}"#, r#"{"log":{"text":null}}"#] {
        assert_eq!(parse(&options, event).unwrap_err(), "the event has no `.log.text`");
    }
    for (value, kind) in
        [("12", "a number"), ("true", "a boolean"), ("{}", "an object"), ("[\"a=1\"]", "an array")]
    {
        let reason = parse(&options, format!(r#"{{"log":{{"text":{value}}}}}"#)).unwrap_err();
        let expected = "not text; convert it with the filter `jq` (`.log.text |= tostring`)";
        assert_eq!(reason, format!("`.log.text` is {kind}, {expected}"));
    }
    assert!(parse(&options, "a=1").unwrap_err().contains("malformed JSON"));
    let json = json!({ "format": "json", "field": ".m" });
    assert_eq!(parse(&json, r#"{"m":"{\"a\":[1]}"}"#).unwrap(), json!({ "m": "{\"a\":[1]}", "a": [1] }));
    assert_eq!(parse(&json, r#"{"m":"[1]"}"#).unwrap_err(), "the text is not an object");
}

#[test]
fn bad_lines_are_rejected_alone() {
    let (texts, rejected) = testkit::apply(filter(&format("logfmt")).as_mut(), ["a=1", "=", "b=2"]);
    assert_eq!(texts, [r#"{"a":"1"}"#, r#"{"b":"2"}"#]);
    assert_eq!(rejected[0].0, 1);
}

#[test]
fn a_fork_does_the_same() {
    for options in [
        json!({ "format": "regex", "pattern": "(?<a>.)" }),
        json!({ "format": "csv", "columns": ["a"], "types": { "a": "text" } }),
    ] {
        let mut fork = filter(&options).fork().expect("it can be forked");
        assert_eq!(testkit::apply(fork.as_mut(), ["x"]).0, [r#"{"a":"x"}"#]);
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        r#"[<>0-9a-z \[\]"=\\:,./+-]{0,80}"#.prop_map(String::into_bytes),
        r#"<[0-9]{1,3}>(1 |[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} )[-a-z\[\]"=\\: ]{0,60}"#
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_bytes_give_json_or_a_reason(line in line()) {
        for options in [
            format("json"), format("logfmt"), format("combined"), format("syslog"),
            json!({ "format": "csv", "columns": ["a", "b"] }),
            json!({ "format": "regex", "pattern": r"(?<a>\w+) (?<b>.*)" }),
        ] {
            match parse(&options, &line) {
                Ok(_) => {}
                Err(reason) => prop_assert!(!reason.is_empty()),
            }
        }
    }

    #[test]
    fn records_of_the_csv_crate_are_read_back(values in proptest::collection::vec("[a\"; \r\n\\PC]{0,12}", 3)) {
        let quoted = values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\"")));
        let record = quoted.collect::<Vec<_>>().join(";");
        let options = json!({ "format": "csv", "columns": ["a", "b", "c"], "delimiter": ";" });
        let expected = json!({ "a": values[0], "b": values[1], "c": values[2] });
        prop_assert_eq!(parse(&options, record).unwrap(), expected);
    }
}
