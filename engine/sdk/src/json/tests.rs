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
fn a_path_is_a_pointer_too() {
    for (path, pointer) in [(".", ""), (".a.b", "/a/b"), (".a[3]", "/a/3"), (r#"."x/y~z""#, "/x~1y~0z")] {
        assert_eq!(path.parse::<Path>().unwrap().pointer(), pointer);
    }
}
