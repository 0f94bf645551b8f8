//! Options that contradict each other or are wrong.

use serde_json::json;

use super::{format, refused};

#[test]
fn options_that_do_not_go_together_are_refused_at_their_place() {
    let cases = [
        (json!({ "format": "csv" }), ""),
        (json!({ "format": "regex" }), ""),
        (json!({ "format": "json", "columns": ["a"] }), "/columns"),
        (json!({ "format": "json", "pattern": "(?<a>.)" }), "/pattern"),
        (json!({ "format": "logfmt", "delimiter": ";" }), "/delimiter"),
        (json!({ "format": "combined", "year": 2026 }), "/year"),
        (json!({ "format": "syslog", "year": 20260 }), "/year"),
        (json!({ "format": "csv", "columns": ["a", "b", "a"] }), "/columns/2"),
        (json!({ "format": "csv", "columns": ["a"], "delimiter": "ab" }), "/delimiter"),
        (json!({ "format": "csv", "columns": ["a"], "types": { "b": "text" } }), "/types/b"),
        (json!({ "format": "combined", "types": { "status": "text" } }), "/types"),
        (json!({ "format": "regex", "pattern": "(.)" }), "/pattern"),
    ];
    for (options, pointer) in cases {
        assert_eq!(refused(&options).pointer, pointer, "{options}");
    }
    assert!(refused(&format("xml")).message.contains("xml"));
}

#[test]
fn a_bad_pattern_is_underlined() {
    for (pattern, part) in
        [("(?<a>[a-z)x", "["), ("a(?<b>.)**)", ")"), ("(?<a>.)(?<a>.)", "a"), ("(?<a>\\y)", "\\y")]
    {
        let error = refused(&json!({ "format": "regex", "pattern": pattern }));
        assert_eq!(error.pointer, "/pattern", "{pattern}");
        let range = error.range.unwrap_or_else(|| panic!("{pattern}: {}", error.message));
        assert_eq!(&pattern[range], part, "{pattern}: {}", error.message);
    }
    let large = json!({ "format": "regex", "pattern": "(?<a>\\w{1000}){1000}" });
    assert!(refused(&large).message.contains("needs more than"));
}
