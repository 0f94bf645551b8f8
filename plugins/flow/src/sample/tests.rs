use serde_json::json;
use tidegate_testkit::{apply, build_filter, conformance};

use super::plugin;

#[test]
fn every_so_manyth_is_kept_across_batches() {
    let mut filter = build_filter(&plugin(), &json!({ "one_in": 3 }));
    assert_eq!(apply(&mut *filter, ["0", "1", "2", "3", "4"]).0, ["0", "3"]);
    assert_eq!(apply(&mut *filter, ["5", "6", "7"]).0, ["6"]);
    assert!(filter.fork().is_none(), "it depends on the order");
}

#[test]
fn all_events_of_a_key_stay_together_and_about_one_key_in_n_is_kept() {
    let mut filter = build_filter(&plugin(), &json!({ "one_in": 4, "key": ".u" }));
    let events = (0..4000).map(|n| format!(r#"{{"n":{n},"u":{}}}"#, n % 1000));
    let (kept, _) = apply(&mut *filter, events);
    let users = kept.iter().map(|text| text.split("\"u\":").nth(1).unwrap());
    let users: std::collections::BTreeSet<_> = users.collect();
    assert_eq!(kept.len(), users.len() * 4);
    assert!((200..300).contains(&users.len()), "{}", users.len());
    let again = apply(&mut *build_filter(&plugin(), &json!({ "one_in": 4, "key": ".u" })), kept.clone());
    assert_eq!(again.0, kept, "another run keeps the same");
}

#[test]
fn conforms() {
    conformance::filter(&plugin(), &json!({ "one_in": 2 }), &["1", "2", "3"]);
    let keyed = json!({ "one_in": 2, "key": [".a", ".b"], "missing": "reject" });
    conformance::filter(&plugin(), &keyed, &[r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#]);
}

#[test]
fn a_reload_goes_on_counting() {
    let after = |before: u64, now: u64| {
        let mut old = build_filter(&plugin(), &json!({ "one_in": before }));
        apply(&mut *old, ["0", "1", "2", "3"]);
        let mut new = build_filter(&plugin(), &json!({ "one_in": now }));
        new.restore(&old.save().unwrap().unwrap()).unwrap();
        apply(&mut *new, ["4", "5", "6", "7", "8", "9"]).0
    };
    assert_eq!(after(5, 5), ["5"]);
    assert_eq!(after(5, 8), ["8"]);
    assert_eq!(after(5, 3), ["4", "7"], "more are skipped already than have to be");
}
