use super::*;

fn texts(decoded: &Decoded) -> Vec<String> {
    let text = |span: &Span| {
        let start = span.offset as usize;
        String::from_utf8(decoded.body[start..start + span.length as usize].to_vec()).unwrap()
    };
    decoded.events.spans().iter().map(text).collect()
}

fn run(
    body: &'static str,
    how: Decode,
    content_type: &str,
) -> Result<(Vec<String>, ResultFormat), DecodeError> {
    let decoded = decode(Bytes::from_static(body.as_bytes()), how, content_type, 4)?;
    Ok((texts(&decoded), decoded.format))
}

#[test]
fn auto_follows_the_type_and_then_the_first_byte() {
    let form = "application/x-www-form-urlencoded";
    let cases: [(&str, &'static str, ResultFormat, &[&str]); 16] = [
        ("application/json", r#" {"a": 1} "#, ResultFormat::Single, &[r#"{"a": 1}"#]),
        (
            "application/json; charset=utf-8",
            r#" [1, {"a":[2]} ]"#,
            ResultFormat::Array,
            &["1", r#"{"a":[2]}"#],
        ),
        ("application/vnd.x+json", "[]", ResultFormat::Array, &[]),
        ("Application/X-NDJSON", "1\r\n\n [2]\n", ResultFormat::JsonLines, &["1", " [2]"]),
        ("text/plain", "[a\r\n\nb", ResultFormat::Lines, &["[a", "b"]),
        ("", "[1,2]", ResultFormat::Array, &["1", "2"]),
        ("", r#"{"a":1}"#, ResultFormat::Single, &[r#"{"a":1}"#]),
        ("", "{\n\"a\":1\n}\n", ResultFormat::Single, &[r#"{"a":1}"#]),
        ("", "{\"a\":1}\n{\"a\":2}\n", ResultFormat::JsonLines, &[r#"{"a":1}"#, r#"{"a":2}"#]),
        (form, "[1]", ResultFormat::Array, &["1"]),
        (form, "12", ResultFormat::Single, &["12"]),
        (form, " \"text\"\n", ResultFormat::Single, &["\"text\""]),
        (form, "12\n13\n", ResultFormat::JsonLines, &["12", "13"]),
        ("application/octet-stream", "12", ResultFormat::Lines, &["12"]),
        ("", "one\ntwo", ResultFormat::Lines, &["one", "two"]),
        ("", "", ResultFormat::Lines, &[]),
    ];
    for (content_type, body, format, events) in cases {
        let (texts, found) = run(body, Decode::Auto, content_type).unwrap();
        assert_eq!((texts, found), (events.iter().map(ToString::to_string).collect(), format), "{body}");
    }
}

#[test]
fn a_body_of_another_type_that_is_no_json_is_refused() {
    let form = "application/x-www-form-urlencoded";
    for body in ["a=1", "12=13", "12 13", "true=x", "nul"] {
        let refused = run(body, Decode::Auto, form).unwrap_err();
        assert_eq!(refused, DecodeError::Unsupported(form.into()), "{body}");
    }
}

#[test]
fn a_fixed_form_does_not_look_at_the_type() {
    assert_eq!(run("[1]", Decode::Json, "text/plain").unwrap().0, ["[1]"]);
    assert_eq!(run("a\nb", Decode::Text, "application/json").unwrap().0, ["a\nb"]);
    assert_eq!(run("[1]\n[2]", Decode::Lines, "application/json").unwrap().0, ["[1]", "[2]"]);
}

#[test]
fn malformed_bodies_are_refused_with_their_place() {
    let cases = [
        (Decode::Json, r#"{"a":}"#, "at byte 5: a value"),
        (Decode::Json, "1 2", "at byte 2: something"),
        (Decode::JsonArray, "[1,,2]", "at byte 3: a value"),
        (Decode::JsonArray, "[1", "at byte 2: it ends"),
        (Decode::JsonArray, "{}", "not a JSON array"),
        (Decode::JsonArray, "[1] x", "at byte 4: something"),
        (Decode::JsonLines, "1\n{\n2", "line 2"),
    ];
    for (how, body, expected) in cases {
        let Err(DecodeError::Malformed(message)) = run(body, how, "") else { panic!("{body} is taken") };
        assert!(message.contains(expected), "{body}: {message}");
    }
}

#[test]
fn json_over_several_lines_becomes_one_line_an_event() {
    let pretty = "{\n  \"a b\": [1.50,\r\n 2]\n}\n";
    assert_eq!(run(pretty, Decode::Json, "").unwrap().0, [r#"{"a b":[1.50,2]}"#]);
    let array = "[\n  {\n    \"a\": \"x\\n y\"\n  },\n  3\n]\n";
    assert_eq!(run(array, Decode::Auto, "application/json").unwrap().0, [r#"{"a":"x\n y"}"#, "3"]);
    assert_eq!(run(pretty, Decode::Text, "").unwrap().0, [pretty], "text is passed on as it is");
}

#[test]
fn one_rule_says_what_json_is() {
    let taken = |body: &'static [u8], how| decode(Bytes::from_static(body), how, "", 4).is_ok();
    for how in [Decode::Json, Decode::JsonArray, Decode::JsonLines] {
        assert!(taken(b"\xef\xbb\xbf[1]", how), "a byte order mark is skipped");
        for body in [
            &b"[\"\xff\"]"[..],
            br#"["\ud800"]"#,
            br#"[{"\ud800":1,"\ud801":2}]"#,
            b"[\x0c1]",
            b"[1]\xef\xbb\xbf",
        ] {
            assert!(!taken(body, how), "{how:?} {}", body.escape_ascii());
        }
    }
    for how in [Decode::Lines, Decode::Text, Decode::Auto] {
        let marked = decode(Bytes::from_static(b"\xef\xbb\xbf{\"a\":1}"), how, "", 4).unwrap();
        assert_eq!(texts(&marked), [r#"{"a":1}"#], "{how:?}");
    }
}

#[test]
fn more_events_than_the_limit_are_refused() {
    assert_eq!(run("[1,2,3,4]", Decode::JsonArray, "").unwrap().0.len(), 4);
    assert_eq!(run("[1,2,3,4,5]", Decode::JsonArray, "").unwrap_err(), DecodeError::TooMany(4));
    assert_eq!(run("1\n2\n3\n4\n5", Decode::JsonLines, "").unwrap_err(), DecodeError::TooMany(4));
}

#[test]
fn deep_nesting_is_refused() {
    let deep: &'static str = Box::leak("[".repeat(100_000).into_boxed_str());
    assert!(matches!(run(deep, Decode::JsonArray, ""), Err(DecodeError::Malformed(_))));
    assert!(matches!(run(deep, Decode::Json, ""), Err(DecodeError::Malformed(_))));
}
