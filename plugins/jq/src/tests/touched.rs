//! `validate = "touched"`: the same results, without a look at what cannot match.

use serde_json::json;
use tidegate_sdk::{Batch, Span};
use tidegate_testkit as testkit;

use super::{filter, refused};

fn touched(query: &str, events: &[&str]) -> (Vec<String>, Vec<(usize, String)>) {
    let mut filter = filter("jq", &json!({ "query": query, "validate": "touched" }));
    testkit::apply(filter.as_mut(), events)
}

const EVENTS: [&str; 8] = [
    r#"{"a":"x","b":1}"#,
    r#"{"a":"y","b":2}"#,
    r#"{"a":"\u0078","b":3}"#,
    r#"{"b":"x"}"#,
    " ",
    r#"{"a":"xx","b":4}"#,
    r#"{ "a" : "x", "b" : 5 }"#,
    r#"{"a":"zx","b":6}"#,
];

#[test]
fn the_results_are_those_of_a_look_at_each_event() {
    let queries = [
        "select(.a == \"x\") | .b",
        "select(.a == \"x\" or .a == \"y\") | {b}",
        "select(.a == \"x\" and .b > 1)",
        "select(.b > 1) | select(.a == \"x\")",
        "select(.b == \"x\")",
        "select((.a // \"\") | startswith(\"x\")) | .b",
        "select((.a // \"\") | endswith(\"x\")) | .b",
        "select((.a // \"\") | contains(\"x\")) | .b",
        "(.b | select(. == 4)), select(.a == \"gone\")",
    ];
    for query in queries {
        let mut all = filter("jq", &json!({ "query": query }));
        let whole: Vec<&str> = EVENTS.into_iter().filter(|event| !event.is_empty()).collect();
        let (expected, _) = testkit::apply(all.as_mut(), &whole);
        if query.starts_with('(') {
            assert_eq!(refused_to_touch(query), "/validate");
            continue;
        }
        let (texts, rejected) = touched(query, &EVENTS);
        assert_eq!((texts, rejected), (expected, Vec::new()), "{query}");
    }
}

fn refused_to_touch(query: &str) -> String {
    refused("jq", &json!({ "query": query, "validate": "touched" })).pointer
}

#[test]
fn events_without_the_text_are_skipped_and_the_others_checked_to_their_end() {
    let events = ["{\"a\":\"y\"", "nonsense", "{\"a\":\"x\"", "{\"a\":\"x\",\"b\":1}"];
    let (texts, rejected) = touched("select(.a == \"x\")", &events);
    assert_eq!(texts, ["{\"a\":\"x\",\"b\":1}"]);
    assert_eq!(rejected.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_query_without_such_a_text_is_refused() {
    for query in
        [".a", "select(.a > 1)", "select(.a != \"x\")", "select(.a == \"x\" or .b > 1)", "map(.a)", "{a}"]
    {
        assert_eq!(refused_to_touch(query), "/validate", "{query}");
    }
}

#[test]
fn events_may_lie_anywhere_in_their_buffers() {
    let mut builder = Batch::builder();
    let first = builder.add_buffer("{\"a\":\"x\"} \"x\" {\"a\":\"y\"}{\"a\":\"x\",\"n\":1}".into());
    let second = builder.add_buffer("{\"a\":\"x\",\"n\":2}".into());
    for (buffer, offset, length) in
        [(first, 23, 15), (second, 0, 15), (first, 0, 9), (first, 14, 9), (first, 0, 9)]
    {
        builder.push_span(Span { buffer, offset, length });
    }
    let mut filter = filter("jq", &json!({ "query": "select(.a == \"x\") | .n", "validate": "touched" }));
    let batch = builder.finish();
    let mut out = tidegate_sdk::Output::new(&batch);
    filter.process(&batch, &mut out).unwrap();
    assert_eq!(out.emitted()[0].1.texts(), ["1", "2", "null", "null"]);
}
