//! Schemas of every form that schemars writes, against values that fit and values that do not.

use serde_json::{Value, json};
use toml::de::DeTable;

use super::*;
use crate::document;

/// The messages and labels of all problems.
fn problems(schema: &Value, text: &str) -> Vec<String> {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let mut unread = Vec::new();
    let table = document::table(parsed.get_ref(), text, &mut unread);
    let scope = Scope {
        owner: "the sink plugin `x`".to_owned(),
        manual: None,
        known: Schema::new(schema).shapes().remove(0).properties,
        missing: Vec::new(),
        source: text,
    };
    let mut checker = Checker::new(&scope);
    checker.table(&Schema::new(schema).shapes(), &table, &Origin::File(0..0), "");
    let shown = |one: Diagnostic| format!("{}: {}; {}", one.code, one.message, one.label.unwrap().text);
    checker.diagnostics.into_iter().map(shown).collect()
}

fn of(schema: &Value, text: &str) -> String {
    problems(schema, text).join("\n")
}

#[test]
fn several_types_in_one_schema() {
    let schema = json!({ "properties": { "v": { "type": ["string", "number", "boolean", "null"] } } });
    assert_eq!(of(&schema, "v = 'a'"), "");
    assert_eq!(of(&schema, "v = 1.5"), "");
    assert_eq!(of(&schema, "v = true"), "");
    assert_eq!(
        of(&schema, "v = []"),
        "wrong-type: `v` must be text or number or true/false, and this is a list; write it like `v = \"...\"`"
    );
}

#[test]
fn an_option_that_may_be_left_out() {
    let schema = json!({
        "properties": {
            "a": { "anyOf": [{ "$ref": "#/$defs/Inner" }, { "type": "null" }] },
            "b": { "type": ["integer", "null"], "format": "uint8", "minimum": 0, "maximum": 255 },
        },
        "$defs": { "Inner": { "type": "object", "properties": { "x": { "type": "boolean" } }, "required": ["x"] } },
    });
    assert_eq!(of(&schema, ""), "");
    assert_eq!(of(&schema, "a = { x = true }\nb = 255"), "");
    assert_eq!(
        problems(&schema, "a = {}\nb = 256"),
        [
            "missing-key: `a` of the sink plugin `x` needs `x`; add `x = true`",
            "out-of-range: `b` is 256, which is out of its limits; must be at least 0 and at most 255",
        ]
    );
    assert_eq!(
        of(&schema, "b = 1.5"),
        "wrong-type: `b` must be a whole number, and this is a number with a fraction; write it like `b = 1`"
    );
}

#[test]
fn a_list_or_a_single_one() {
    let path = json!({ "type": "string", "format": "json-path-text" });
    let schema = json!({ "properties": {
        "key": { "anyOf": [path, { "type": "array", "items": path, "minItems": 1 }], "examples": [".id"] },
    } });
    assert_eq!(of(&schema, "key = '.a'"), "");
    assert_eq!(of(&schema, "key = ['.a', '.b']"), "");
    assert!(of(&schema, "key = []").starts_with("out-of-range: `key` has 0 items, but must have at least 1"));
    assert!(of(&schema, "key = ['.a', 'b']").starts_with("wrong-value: `b` is not a path"));
    assert!(of(&schema, "key = 3").ends_with("write it like `key = \".id\"`"));
}

#[test]
fn choice_by_tag() {
    let branch = |word: &str, key: &str| {
        json!({ "type": "object", "properties": { "type": { "const": word, "type": "string" }, key: { "type": "string" } },
                "required": ["type", key], "additionalProperties": false })
    };
    let schema = json!({ "properties": { "auth": { "oneOf": [branch("basic", "user"), branch("bearer", "token")] } } });
    assert_eq!(of(&schema, "auth = { type = 'bearer', token = 't' }"), "");
    assert!(of(&schema, "auth = {}").starts_with("missing-key: `auth` of the sink plugin `x` needs `type`"));
    assert!(of(&schema, "auth = { type = 'bearr' }").ends_with("did you mean `bearer`?"));
    assert!(
        of(&schema, "auth = { type = 'basic', token = 't', user = 'u' }").starts_with("unknown-key: `token`")
    );
}

#[test]
fn choice_by_only_key() {
    let branch = |key: &str| {
        json!({ "type": "object", "properties": { key: { "type": "integer" } }, "required": [key],
                "additionalProperties": false })
    };
    let schema = json!({ "properties": { "cut": { "oneOf": [
        { "type": "string", "enum": ["never"] }, branch("events"), branch("bytes"),
    ] } } });
    assert_eq!(of(&schema, "cut = 'never'\n"), "");
    assert_eq!(of(&schema, "cut = { bytes = 1 }"), "");
    assert!(
        of(&schema, "cut = { bytes = 'x' }").starts_with("wrong-type: `cut.bytes` must be a whole number")
    );
    assert!(of(&schema, "cut = 'nevr'").ends_with("it must be `never`"));
}

#[test]
fn keys_are_closed_even_where_the_author_forgot() {
    let schema = json!({
        "allOf": [{ "$ref": "#/$defs/More" }],
        "properties": { "url": { "type": "string" }, "any": { "type": "object" }, "all": true },
        "$defs": { "More": { "type": "object", "properties": { "depth": { "type": "number" } } } },
    });
    assert_eq!(of(&schema, "url = 'x'\ndepth = 1\nall = [{}]\nany = { x = 1 }"), "");
    assert!(
        of(&schema, "dept = 1").starts_with("unknown-key: `dept` is not an option of the sink plugin `x`")
    );
}

#[test]
fn limits_of_sizes_and_durations() {
    let size = json!({ "type": "string", "format": "size-text", "x-at-least": "1KiB", "x-at-most": "1MiB" });
    let schema = json!({ "properties": { "a": size, "t": { "type": "string", "format": "duration-text" } } });
    assert_eq!(of(&schema, "a = '2KiB'\nt = '5m'"), "");
    assert_eq!(
        of(&schema, "a = '5B'"),
        "out-of-range: `a` is 5B, which is out of its limits; must be at least 1KiB and at most 1MiB"
    );
    assert!(of(&schema, "a = '5'").ends_with("it needs a unit: `\"5MiB\"`"));
    assert!(of(&schema, "t = '5 Minutes'").ends_with("did you mean `\"5m\"`?"));
    assert!(
        of(&schema, "t = 2024-01-01").starts_with("wrong-type: `t` must be a duration, and this is a date")
    );
}

#[test]
fn keys_of_the_component_in_a_map_below_it() {
    let schema = json!({ "properties": {
        "url": { "type": "string" },
        "rounds": { "type": "integer" },
        "headers": { "type": "object", "additionalProperties": { "type": "string" } },
    } });
    let found = problems(&schema, "[headers]\na = 'b'\nrounds = 3\nurl = 'x'\n");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|one| one.starts_with("swallowed-key: ")), "{found:?}");
    assert_eq!(of(&schema, "headers = { url = 'x' }"), "");
    assert!(of(&schema, "[headers]\na = 3").starts_with("wrong-type: `headers.a` must be text"));
}
