use serde_json::json;
use tidegate_sdk::Filter;
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

/// A filter that has taken the place of one with `before`, which has seen these.
fn after(
    before: &serde_json::Value,
    seen: &[&str],
    now: &serde_json::Value,
) -> Result<Box<dyn Filter>, String> {
    let mut old = build_filter(&plugin(), before);
    seen.iter().for_each(|event| drop(apply(&mut *old, [event])));
    let mut new = build_filter(&plugin(), now);
    new.restore(&old.save().unwrap().unwrap()).map_err(|error| error.to_string())?;
    Ok(new)
}

#[test]
fn a_reload_keeps_what_was_seen() {
    let options = json!({ "key": ".id", "within": "1h" });
    let seen = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#];
    let mut filter = after(&options, &seen, &options).unwrap();
    assert_eq!(apply(&mut *filter, [r#"{"id":2}"#, r#"{"id":4}"#, r#"{"id":1}"#]).0, [r#"{"id":4}"#]);
    // And once more, what was seen before both.
    let mut third = build_filter(&plugin(), &options);
    third.restore(&filter.save().unwrap().unwrap()).unwrap();
    assert_eq!(apply(&mut *third, [r#"{"id":3}"#, r#"{"id":4}"#, r#"{"id":5}"#]).0, [r#"{"id":5}"#]);
}

#[test]
fn a_reload_to_a_smaller_window_keeps_the_newest() {
    let (before, now) = (json!({}), json!({ "events": 2 }));
    let mut filter = after(&before, &["a", "b", "c", "d"], &now).unwrap();
    // The window moves on with each event that is new.
    assert_eq!(apply(&mut *filter, ["c", "d", "b", "c"]).0, ["b", "c"]);
    let mut short = after(&json!({ "within": "1h" }), &["a"], &json!({ "within": "1ms" })).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(apply(&mut *short, ["a"]).0, ["a"], "it is older than the new span");
}

#[test]
fn reload_with_another_key_begins_without_state() {
    let refused = after(&json!({ "key": ".id" }), &[r#"{"id":1}"#], &json!({ "key": [".a", ".id"] }));
    let expected = "its key is the value at `.id`, and now it is the value at `.a`, or at `.id`";
    assert_eq!(refused.err().unwrap(), expected);
    let refused = after(&json!({}), &["a"], &json!({ "key": ".id" }));
    assert_eq!(refused.err().unwrap(), "its key is the whole event, and now it is the value at `.id`");
}
