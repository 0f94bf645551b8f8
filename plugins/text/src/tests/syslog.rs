//! Syslog in both forms.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_sdk::{Batch, Output};

use super::{filter, format, parse};

#[test]
fn the_examples_of_rfc_5424() {
    let line = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 \
        [exampleSDID@32473 iut=\"3\" eventSource=\"App\\]l\\\"\\\\ic\\x\"][examplePriority@32473 class=\"high\"] \u{feff}An entry";
    let expected = json!({
        "facility": "local4", "facility_code": 20, "severity": "notice", "severity_code": 5,
        "timestamp": "2003-10-11T22:14:15.003Z", "hostname": "mymachine.example.com", "app_name": "evntslog",
        "proc_id": null, "msg_id": "ID47",
        "structured_data": {
            "exampleSDID@32473": { "iut": "3", "eventSource": "App]l\"\\ic\\x" },
            "examplePriority@32473": { "class": "high" }
        },
        "message": "An entry"
    });
    assert_eq!(parse(&format("syslog"), line).unwrap(), expected);
    let bare = parse(&format("syslog"), "<0>1 - - - - - -").unwrap();
    assert_eq!(bare["timestamp"], Value::Null);
    assert_eq!((&bare["severity"], &bare["message"]), (&json!("emergency"), &json!("")));
}

#[test]
fn the_older_form() {
    let options = json!({ "format": "syslog", "year": 2003 });
    let event = parse(&options, "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed: x").unwrap();
    let expected = json!({
        "facility": "auth", "facility_code": 4, "severity": "critical", "severity_code": 2,
        "timestamp": "2003-10-11T22:14:15Z", "hostname": "mymachine", "app_name": "su", "proc_id": "12",
        "msg_id": null, "structured_data": null, "message": "'su root' failed: x"
    });
    assert_eq!(event, expected);
    let plain = parse(&options, "Jan  1 00:00:00 h a message: without a tag").unwrap();
    assert_eq!(plain["timestamp"], "2003-01-01T00:00:00Z");
    assert_eq!((&plain["facility"], &plain["app_name"]), (&Value::Null, &Value::Null));
    assert_eq!(plain["message"], "a message: without a tag");
    let modern = parse(&options, "2026-07-01T12:00:00.5+02:00 h cron[1]: x").unwrap();
    assert_eq!(modern["timestamp"], "2026-07-01T12:00:00.5+02:00");
    assert_eq!(modern["proc_id"], "1");
}

#[test]
fn a_date_without_a_year_is_near_the_event() {
    let near = |seconds: i64, line: &str| {
        let mut builder = Batch::builder();
        builder.push_copy(line.as_bytes());
        builder.timestamp(seconds * 1_000_000_000);
        let batch = builder.finish();
        let mut out = Output::new(&batch);
        filter(&json!({ "format": "syslog", "year": 1999 })).process(&batch, &mut out).unwrap();
        let event: Value = serde_json::from_str(&out.emitted()[0].1.texts()[0]).unwrap();
        event["timestamp"].as_str().unwrap().to_owned()
    };
    const NEW_YEAR_2026: i64 = 1_767_225_600;
    assert_eq!(near(NEW_YEAR_2026 + 60, "Dec 31 23:59:59 h x: y"), "2025-12-31T23:59:59Z");
    assert_eq!(near(NEW_YEAR_2026 - 60, "Jan  1 00:00:10 h x: y"), "2026-01-01T00:00:10Z");
    assert_eq!(near(NEW_YEAR_2026, "Feb 29 12:00:00 h x: y"), "2024-02-29T12:00:00Z");
}

#[test]
fn other_lines_are_rejected_with_the_byte_of_the_difference() {
    for (line, reason) in [
        ("", "a time like `Oct 11 22:14:15` is expected at byte 0"),
        ("<192>x", "a priority from 0 to 191 is expected at byte 1"),
        ("<1x>", "`>` is expected at byte 2"),
        ("<1>1 yesterday h a - - -", "`yesterday` is not a time of RFC 3339"),
        ("<1>1 - h a - - x", "`-` or structured data in brackets is expected at byte 15"),
        ("<1>1 - h a - - [id a=\"x]", "the quote at the end of a value"),
        ("<1>1 - h a - - [id a=\"x\"", "`]` is expected at byte 24"),
        ("<1>Okt 11 22:14:15 h x: y", "a time like `Oct 11 22:14:15` is expected at byte 3"),
        ("<1>Feb 30 22:14:15 h x: y", "a time like"),
    ] {
        let actual = parse(&format("syslog"), line).unwrap_err();
        assert!(actual.starts_with("not syslog: ") && actual.contains(reason), "{line}: {actual}");
    }
}

#[test]
fn a_parameter_that_occurs_several_times_becomes_an_array() {
    let line = r#"<1>1 - h a - - [origin ip="192.0.2.1" x="1" ip="192.0.2.129"][e ip="a"]"#;
    let data = json!({ "origin": { "ip": ["192.0.2.1", "192.0.2.129"], "x": "1" }, "e": { "ip": "a" } });
    assert_eq!(parse(&format("syslog"), line).unwrap()["structured_data"], data);
    let reason = parse(&format("syslog"), r#"<1>1 - h a - - [e a="1"][f][e]"#).unwrap_err();
    assert_eq!(reason, "not syslog: the element \"e\" occurs twice");
}

#[test]
fn times_are_those_of_the_rfc() {
    let read = |time: &str| parse(&format("syslog"), format!("<1>1 {time} h a - - -"));
    for time in ["1985-04-12T23:20:50.52Z", "2003-08-24T05:14:15.000003-07:00", "9999-12-31T23:59:59Z"] {
        assert_eq!(read(time).unwrap()["timestamp"], time);
    }
    for time in [
        "2003-10-11T22:14:15+02:00[Europe/Berlin]",
        "20031011T221415Z",
        "2003-10-11t22:14:15Z",
        "2003-10-11T22:14:15z",
        "2003-10-11T22:14:15",
        "2003-10-11T22:14:60Z",
        "2003-10-11T22:14:15.Z",
        "2003-02-30T22:14:15Z",
    ] {
        assert!(read(time).unwrap_err().contains("is not a time of RFC 3339"), "{time}");
        assert!(parse(&format("syslog"), format!("{time} h x: y")).is_err(), "{time}");
    }
    for line in
        ["<1>1 - h\n a - - -", "<1>1 - hé a - - -", "<1>1 - h a - - [é x=\"1\"]", "<1>1 - h a - - [e\nf]"]
    {
        assert!(parse(&format("syslog"), line).unwrap_err().contains("is expected at byte"), "{line}");
    }
    for priority in ["0165", "-1", ""] {
        assert!(parse(&format("syslog"), format!("<{priority}>1 - - - - - -")).is_err(), "{priority}");
    }
}

#[test]
fn words_of_the_older_form_are_distinguished() {
    let read = |rest: &str| {
        let event = parse(&format("syslog"), format!("<13>Oct 11 22:14:15 {rest}")).unwrap();
        ["hostname", "app_name", "proc_id", "message"].map(|name| event[name].as_str().map(str::to_owned))
    };
    let expected = |words: [&str; 4]| words.map(|word| (word != "-").then(|| word.to_owned()));
    for (rest, words) in [
        ("h su: failed", ["h", "su", "-", "failed"]),
        ("h su[7]: failed", ["h", "su", "7", "failed"]),
        ("su: failed", ["-", "su", "-", "failed"]),
        ("su[7]: failed", ["-", "su", "7", "failed"]),
        ("fe80::1 su: failed", ["fe80::1", "su", "-", "failed"]),
        ("fe80:: su: failed", ["fe80::", "su", "-", "failed"]),
        ("h http://x/ failed", ["h", "-", "-", "http://x/ failed"]),
        ("h 10.0.0.1:8080 refused", ["h", "-", "-", "10.0.0.1:8080 refused"]),
        ("h su:", ["h", "su", "-", ""]),
        ("h su[a\nb]: x", ["h", "-", "-", "su[a\nb]: x"]),
        ("h su: two\nlines", ["h", "su", "-", "two\nlines"]),
    ] {
        assert_eq!(read(rest), expected(words), "{rest}");
    }
}

proptest! {
    #[test]
    fn written_messages_are_read_back(
        priority in 0_u8..192, words in prop::collection::vec("[!-~]{1,20}", 4),
        params in prop::collection::btree_map("[a-zA-Z0-9@._-]{1,10}", "[ -~é\n]{0,12}", 0..4), message in "\\PC{0,20}",
    ) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        let data = params.iter().map(|(name, value)| format!(" {name}=\"{}\"", escaped(value))).collect::<String>();
        let line = format!("<{priority}>1 2003-10-11T22:14:15.003Z {} [id@1{data}] {message}", words.join(" "));
        let event = parse(&format("syslog"), line).unwrap();
        prop_assert_eq!(&event["structured_data"]["id@1"], &json!(params));
        prop_assert_eq!(&event["message"], &json!(message.strip_prefix('\u{feff}').unwrap_or(&message)));
        for (name, word) in ["hostname", "app_name", "proc_id", "msg_id"].into_iter().zip(&words) {
            prop_assert_eq!(&event[name], &if word == "-" { Value::Null } else { json!(word) });
        }
    }
}
