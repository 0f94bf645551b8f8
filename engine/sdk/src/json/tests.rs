use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn find(path: &str, json: &str) -> Option<String> {
    let path: Path = path.parse().unwrap();
    path.find(json.as_bytes()).unwrap().map(|raw| String::from_utf8(raw.to_vec()).unwrap())
}

#[test]
fn finds_the_value_as_it_stands() {
    let json = r#"{"a": {"b": [1, {"c":  1.50}]}, "o d": "x\u0041"}"#;
    assert_eq!(find(".a.b[1].c", json).as_deref(), Some("1.50"));
    assert_eq!(find(".a.b[1]", json).as_deref(), Some(r#"{"c":  1.50}"#));
    assert_eq!(find(r#"."o d""#, json).as_deref(), Some(r#""x\u0041""#));
    assert_eq!(find(r#".["o d"]"#, json).as_deref(), Some(r#""x\u0041""#));
    assert_eq!(find(".", json).as_deref(), Some(json));
    for absent in [".b", ".a.b[7]", ".a.b.c", ".a[0]", ".a.b[0].c"] {
        assert_eq!(find(absent, json), None, "{absent}");
    }
}

#[test]
fn the_last_of_equal_names_counts() {
    assert_eq!(find(".a", r#"{"a":1,"a":2}"#).as_deref(), Some("2"));
    assert_eq!(find(".a.b", r#"{"a":{"b":1},"a":2}"#), None);
}

#[test]
fn text_loses_quotes_and_escapes() {
    let path: Path = ".a".parse().unwrap();
    let text = |json: &'static str| path.find_text(json.as_bytes()).unwrap().map(Cow::into_owned);
    assert_eq!(text(r#"{"a":"x\u0041"}"#).as_deref(), Some("xA"));
    assert_eq!(text(r#"{"a":12.0}"#).as_deref(), Some("12.0"));
    assert_eq!(text(r#"{"a":null}"#), None);
}

#[test]
fn malformed_json_is_refused_to_its_end() {
    let path: Path = ".a".parse().unwrap();
    for json in [r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a":1,"b":}"#, "", "\u{7f}"] {
        assert!(path.find(json.as_bytes()).unwrap_err().contains("malformed JSON"), "{json}");
    }
    assert!(path.find(&b"[".repeat(100_000)).is_err());
}

#[test]
fn bad_paths_are_refused() {
    for text in ["", "a", ".a.", ".a..b", ".[", ".[x]", ".a b", ".1"] {
        assert!(text.parse::<Path>().is_err(), "{text}");
    }
}

/// Any JSON value, of few names so that paths hit.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let name = prop::sample::select(vec!["a", "b", "o \"d", "\u{e9}"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_path_finds_what_a_tree_has(tree in value(), steps in prop::collection::vec(0_usize..6, 0..4)) {
        let names = ["a", "b", "o \"d", "\u{e9}"];
        let mut text = String::from(".");
        let mut at = Some(&tree);
        for (index, step) in steps.into_iter().enumerate() {
            match names.get(step) {
                Some(name) => {
                    text += if index > 0 { "." } else { "" };
                    text += &Value::from(*name).to_string();
                    at = at.and_then(|value| value.as_object()?.get(*name));
                }
                None => {
                    text += &format!("[{}]", step - names.len());
                    at = at.and_then(|value| value.as_array()?.get(step - names.len()));
                }
            }
        }
        let path: Path = text.parse().unwrap();
        for json in [tree.to_string(), serde_json::to_string_pretty(&tree).unwrap()] {
            let found = path.find(json.as_bytes()).unwrap();
            let found: Option<Value> = found.map(|raw| serde_json::from_slice(raw).unwrap());
            prop_assert_eq!(found.as_ref(), at, "{} in {}", text, json);
            let plain = at.filter(|value| !value.is_null()).map(|value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Array(_) | Value::Object(_) => None,
                other => Some(other.to_string()),
            });
            if let Some(Some(plain)) = plain {
                let template: crate::Template = format!("x:{{{path}}}").parse().unwrap_or_else(|_| "y".parse().unwrap());
                if template.as_literal().is_none() {
                    prop_assert_eq!(template.render(json.as_bytes()).unwrap(), format!("x:{plain}"));
                }
                prop_assert_eq!(path.find_text(json.as_bytes()).unwrap(), Some(plain.into()));
            }
        }
    }
}

#[test]
fn defects_are_named_with_their_byte() {
    for (json, reason) in [
        (&b""[..], "at byte 0: there is no value"),
        (b"  ", "at byte 2: it ends in the middle of a value"),
        (b"[1,]", "at byte 3: a value is expected"),
        (b"{\"a\" 1}", "at byte 5: `:` is expected"),
        (b"{\"a\":1,}", "at byte 7: a name in quotes is expected"),
        (b"[1 2]", "at byte 3: `,` or `]` is expected"),
        (b"[1}", "at byte 2: `,` or `]` is expected"),
        (b"[1] x", "at byte 4: something follows the value"),
        (b"\xef\xbb\xbf1", "at byte 0: a value is expected"),
        (b"{\"a\":\"\xff\"}", "at byte 6: this is not UTF-8"),
        (b"\"\xed\xa0\x80\"", "at byte 1: this is not UTF-8"),
        (b"[\"a\nb\"]", "at byte 3: a control character stands in a string"),
        (b"\"\\x41\"", "at byte 1: this is not an escape"),
        (b"01", "at byte 1: something follows the value"),
        (b"[-]", "at byte 2: a digit is expected"),
        (b"\x0c1", "at byte 0: a value is expected"),
        (br#""\ud800""#, "at byte 1: this escape is half of a surrogate pair"),
        (br#"["\ud800\ud801"]"#, "at byte 2: this escape is half of a surrogate pair"),
        (br#""a\udc00""#, "at byte 2: this escape is half of a surrogate pair"),
        (br#"{"\ud800":1,"\ud801":2}"#, "at byte 2: this escape is half of a surrogate pair"),
    ] {
        let actual = check(json).unwrap_err();
        assert!(actual.starts_with(&format!("malformed JSON {reason}")), "{json:?}: {actual}");
        // Every way to read checks all of it.
        let within = [b"{\"x\":1,\"y\":", json, b"}"].concat();
        let path: Path = ".x".parse().unwrap();
        assert!(path.find(&within).is_err() && members(&within).is_err(), "{json:?}");
        assert!(elements(&[b"[1,", json, b"]"].concat(), 9).is_err(), "{json:?}");
    }
}

#[test]
fn text_may_be_nested_to_its_limit() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert_eq!(check(&nested(DEPTH)), Ok(()));
    assert!(check(&nested(DEPTH + 1)).unwrap_err().contains("nested deeper than 512"));
    let objects = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    assert_eq!(check(objects.as_bytes()), Ok(()));
    assert!(check(format!("[{objects}]").as_bytes()).is_err());
    assert!(
        check(format!("{}]", "[{\"a\":".repeat(70)).as_bytes()).unwrap_err().contains("a value is expected")
    );
}

#[test]
fn members_and_elements_are_what_stands_there() {
    let object = br#" {"a\u0062": 1.50 ,"c":{"d":[ ]},"c":"\ud83d\ude00"} "#;
    let found = members(object).unwrap();
    let found: Vec<_> = found.iter().map(|(name, value)| (&**name, *value)).collect();
    assert_eq!(found, [("ab", &b"1.50"[..]), ("c", br#"{"d":[ ]}"#), ("c", br#""\ud83d\ude00""#)]);
    assert_eq!(members(b"[1]").unwrap_err(), "it is not a JSON object");
    assert_eq!(elements(b"{}", 9).unwrap_err(), "it is not a JSON array");
    assert_eq!(elements(b"[1,2,3]", 3).unwrap().map(|all| all.len()), Some(3));
    assert_eq!(elements(b"[1,2,3]", 2), Ok(None));
    assert_eq!(elements(b" [ ] ", 0).unwrap().map(|all| all.len()), Some(0));
}

#[test]
fn only_json_with_line_breaks_is_brought_into_one_line() {
    let line = br#"{ "a" : 1 }"#;
    assert!(matches!(one_line(line), Cow::Borrowed(same) if same == line));
    let pretty = "{\n  \"a b\": \"x \\\" y \\\\\",\r\n\t\"c\": [ 1.50, 1E+2 ]\n}";
    assert_eq!(one_line(pretty.as_bytes()).as_ref(), br#"{"a b":"x \" y \\","c":[1.50,1E+2]}"#);
    assert_eq!(one_line_if_json(b"{\n}").as_ref(), b"{}");
    for text in [&b"one\ntwo"[..], b"{\n", b"plain", b"\xff\n"] {
        assert!(matches!(one_line_if_json(text), Cow::Borrowed(same) if same == text));
    }
}

proptest! {
    /// serde_json reads the same, where it has no limits of its own.
    #[test]
    fn json_is_what_serde_json_reads(
        text in r#"[\[\]{}:,"0-9eE.+\-truefalsn \\]{0,14}|"([a-z"\\]|\\u([dD][89abcC][0-9a-f]{2}|[0-9a-f]{4})|\x01){0,6}""#
    ) {
        let theirs = serde_json::from_str::<Value>(&text);
        let is_limit = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert_eq!(check(text.as_bytes()).is_ok(), theirs.is_ok() || is_limit, "{:?}", check(text.as_bytes()));
    }

    #[test]
    fn any_value_is_the_same_in_one_line(tree in value()) {
        let pretty = serde_json::to_string_pretty(&tree).unwrap();
        prop_assert_eq!(check(pretty.as_bytes()), Ok(()));
        let line = one_line(pretty.as_bytes());
        // Without a line break there is nothing to do.
        if pretty.contains('\n') {
            prop_assert_eq!(std::str::from_utf8(&line).unwrap(), tree.to_string());
        }
    }

    #[test]
    fn texts_are_read_back(written: String, padding in 0_usize..9) {
        let text = format!("{}{written}", " ".repeat(padding));
        let mut json = Vec::new();
        write_text(&mut json, &text);
        prop_assert_eq!(check(&json), Ok(()));
        prop_assert_eq!(super::text(&json), text);
    }
}

#[test]
fn a_path_is_a_pointer_too() {
    for (path, pointer) in [(".", ""), (".a.b", "/a/b"), (".a[3]", "/a/3"), (r#"."x/y~z""#, "/x~1y~0z")] {
        assert_eq!(path.parse::<Path>().unwrap().pointer(), pointer);
    }
}
