use serde_json::json;
use tidegate_testkit::{apply, build_filter, conformance};

use super::plugin;

#[test]
fn the_first_of_each_key_is_kept() {
    let mut filter = build_filter(&plugin(), &json!({ "key": ".id" }));
    let (kept, rejected) =
        apply(&mut *filter, [r#"{"id":1,"n":1}"#, r#"{"id":2}"#, r#"{"id":"1"}"#, "{}", "{}", "{"]);
    assert_eq!(kept, [r#"{"id":1,"n":1}"#, r#"{"id":2}"#, "{}", "{}"]);
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].0 == 5 && rejected[0].1.contains("malformed JSON"));
    // The next batch knows what the one before it held.
    assert_eq!(apply(&mut *filter, [r#"{"id":2}"#, r#"{"id":3}"#]).0, [r#"{"id":3}"#]);
}

#[test]
fn without_a_key_the_payload_counts() {
    let mut filter = build_filter(&plugin(), &json!({ "events": 2 }));
    assert_eq!(apply(&mut *filter, ["a", "b", "a", "c", "a"]).0, ["a", "b", "c", "a"]);
}

#[test]
fn a_missing_key_can_be_rejected() {
    let mut filter = build_filter(&plugin(), &json!({ "key": [".a", ".b"], "missing": "reject" }));
    let (kept, rejected) = apply(&mut *filter, [r#"{"a":1}"#, r#"{"a":1,"b":2}"#]);
    assert_eq!(kept, [r#"{"a":1,"b":2}"#]);
    assert_eq!(rejected, [(0, "the event has no value at `.a`, or at `.b`".to_owned())]);
}

#[test]
fn options_that_remember_nothing_are_refused() {
    for options in [json!({ "events": 0 }), json!({ "within": "0s" }), json!({ "events": 1_000_000_000 })] {
        assert!(plugin().build(&options).is_err(), "{options}");
    }
}

#[test]
fn conforms() {
    let samples = [r#"{"id":1}"#, r#"{"id":2}"#];
    conformance::filter(&plugin(), &json!({ "key": ".id", "within": "1h" }), &samples);
    conformance::filter(&plugin(), &json!({}), &samples);
}
