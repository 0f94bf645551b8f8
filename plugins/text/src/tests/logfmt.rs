//! logfmt, as the Go package go-logfmt writes and reads it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{format, parse};

fn read(line: &str) -> Result<Value, String> {
    parse(&format("logfmt"), line)
}

#[test]
fn pairs() {
    let line =
        "level=info msg=\"all \\\"is\\\" well\\n\" ms=12  empty= quoted=\"\" cached\turl=\"http://x/?a=b\"";
    let expected = json!({
        "level": "info", "msg": "all \"is\" well\n", "ms": "12", "empty": "", "quoted": "", "cached": true,
        "url": "http://x/?a=b"
    });
    assert_eq!(read(line).unwrap(), expected);
}

/// The samples are of the tests of go-logfmt (MIT licence).
#[test]
fn samples_of_the_reference() {
    for (line, expected) in [
        ("x= ", json!({ "x": "" })),
        ("y=", json!({ "y": "" })),
        ("y", json!({ "y": true })),
        ("y=f", json!({ "y": "f" })),
        ("y=\"\\tf\"", json!({ "y": "\tf" })),
        (
            "a=1 b=\"bar\" ƒ=2h3s r=\"esc\\t\" d x=sf   ",
            json!({ "a": "1", "b": "bar", "ƒ": "2h3s", "r": "esc\t", "d": true, "x": "sf" }),
        ),
        ("\u{1e} y=g", json!({ "y": "g" })),
        ("y= d y=g", json!({ "y": ["", "g"], "d": true })),
        ("y=\"f\\n\"y=g", json!({ "y": ["f\n", "g"] })),
    ] {
        assert_eq!(read(line), Ok(expected), "{line}");
    }
    for (line, reason) in [
        ("", "the line is empty"),
        ("=bar", "a key is expected at byte 0"),
        ("\"k\"=bar", "a key is expected at byte 0"),
        ("k\"ey=bar", "`=` is expected at byte 1"),
        ("k=b\"ar", "is expected at byte 3"),
        ("k=b =ar", "a key is expected at byte 4"),
        ("a==", "is expected at byte 2"),
        ("k=b=ar", "is expected at byte 3"),
        ("a=\"1", "the quote at the end of a value is expected at byte 4, where the line ends"),
        ("a=\"1\\", "the quote at the end of a value"),
        ("a=\"\\t1", "the quote at the end of a value"),
        ("a=\"\\u1\"", "an escape like `\\u00e9`"),
        ("a\u{fffd}=bar", "a key in UTF-8"),
    ] {
        let actual = read(line).unwrap_err();
        assert!(actual.starts_with("not logfmt: ") && actual.contains(reason), "{line}: {actual}");
    }
    assert!(parse(&format("logfmt"), b"\x80=bar").unwrap_err().contains("a key in UTF-8"));
}

#[test]
fn escapes_are_those_of_json() {
    let line = r#"a="\u00e9\b\f\/\'\u001b\ud83d\ude00\u007f""#;
    assert_eq!(read(line).unwrap()["a"], "\u{e9}\u{8}\u{c}/'\u{1b}\u{1f600}\u{7f}");
    for value in [r"\x1b", r"\q", r"\u00g0", r"\ud800", r"\ude00", r"\ud83d\u0041", "\\n\u{1}"] {
        let actual = read(&format!("a=\"{value}\"")).unwrap_err();
        assert!(actual.contains("is expected at byte"), "{value}: {actual}");
    }
}

#[test]
fn a_key_that_occurs_several_times_becomes_an_array() {
    assert_eq!(read("a=1 b=2 a a=\"x y\"").unwrap(), json!({ "a": ["1", true, "x y"], "b": "2" }));
    let options = json!({ "format": "logfmt", "types": { "a": "integer" } });
    assert_eq!(parse(&options, "a=1 a=2 a=").unwrap(), json!({ "a": [1, 2, null] }));
    // Many names are compared in another way.
    let many = (0..200).map(|number| format!("k{}={number} ", number % 150)).collect::<String>();
    let event = read(&many).unwrap();
    assert_eq!((&event["k0"], &event["k149"]), (&json!(["0", "150"]), &json!("149")));
    assert_eq!(event.as_object().unwrap().len(), 150);
}

/// As go-logfmt writes a value.
fn written(value: &str) -> String {
    if !value.contains(|c: char| c <= ' ' || matches!(c, '=' | '"' | '\u{7f}' | '\u{fffd}'))
        && value != "null"
    {
        return value.to_owned();
    }
    let escaped = |c: char| match c {
        '\\' | '"' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\0'..' ' | '\u{7f}' | '\u{fffd}' => format!("\\u{:04x}", u32::from(c)),
        plain => plain.to_string(),
    };
    format!("\"{}\"", value.chars().map(escaped).collect::<String>())
}

proptest! {
    #[test]
    fn written_pairs_are_read_back(values in prop::collection::vec("[ -~\\x00-\\x20\\PC\u{7f}\u{fffd}]{0,12}", 1..6)) {
        let pairs = values.iter().enumerate().map(|(index, value)| format!("k{index}={}", written(value)));
        let event = read(&pairs.collect::<Vec<_>>().join(" ")).unwrap();
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(&event[format!("k{index}")], value);
        }
    }
}
