//! The filter `route`.

use serde_json::json;
use tidegate_sdk::Output;
use tidegate_testkit as testkit;

use super::{filter, refused};

const EVENTS: [&str; 5] = [
    r#"{"status":500,"ms":2000}"#,
    r#"{ "status": 200, "ms": 3000 }"#,
    r#"{"status":200,"ms":1}"#,
    "broken",
    r#"{"status":503,"ms":1}"#,
];

/// The payloads by output, and which events are rejected.
fn routed(all: bool) -> (Vec<(u16, Vec<String>)>, Vec<usize>) {
    let routes = json!({ "slow": ".ms > 1000", "errors": ".status >= 500" });
    let mut filter = filter("route", &json!({ "routes": routes, "all": all }));
    assert_eq!(filter.outputs(), ["slow", "errors"], "in the order in which they are written");
    let batch = testkit::batch(EVENTS);
    let mut out = Output::new(&batch);
    filter.process(&batch, &mut out).unwrap();
    let (emitted, rejected) = out.take();
    let emitted = emitted.into_iter().map(|(port, batch)| (port, batch.texts())).collect();
    (emitted, rejected.into_iter().map(|one| one.event).collect())
}

fn texts(events: &[usize]) -> Vec<String> {
    events.iter().map(|event| EVENTS[*event].to_owned()).collect()
}

#[test]
fn the_first_match_takes_the_event_as_it_is() {
    let (emitted, rejected) = routed(false);
    assert_eq!(emitted, [(0, texts(&[2])), (1, texts(&[0, 1])), (2, texts(&[4]))]);
    assert_eq!(rejected, [3]);
}

#[test]
fn all_matches_take_it_if_asked() {
    let (emitted, rejected) = routed(true);
    assert_eq!(emitted, [(0, texts(&[2])), (1, texts(&[0, 1])), (2, texts(&[0, 4]))]);
    assert_eq!(rejected, [3]);
}

#[test]
fn a_match_is_any_result_that_is_true() {
    let mut filter = filter("route", &json!({ "routes": { "any": ".[]" } }));
    let batch = testkit::batch(["[false,1]", "[null]", "[]", "5"]);
    let mut out = Output::new(&batch);
    filter.process(&batch, &mut out).unwrap();
    let (emitted, rejected) = out.take();
    assert_eq!(emitted[0].1.texts(), ["[null]", "[]"]);
    assert_eq!((emitted[1].0, emitted[1].1.texts()), (1, vec!["[false,1]".to_owned()]));
    assert_eq!(rejected[0].event, 3);
}

#[test]
fn a_query_that_never_ends_rejects_the_event() {
    let mut filter =
        filter("route", &json!({ "routes": { "a": "until(false; .)" }, "limit": { "steps": 9999 } }));
    let (texts, rejected) = testkit::apply(filter.as_mut(), ["1"]);
    assert!(texts.is_empty());
    assert!(rejected[0].1.contains("`limit.steps`"));
}

#[test]
fn bad_routes_are_refused_at_their_place() {
    let error = refused("route", &json!({ "routes": { "ok": ".a", "bad": ".a |" } }));
    assert_eq!((error.pointer.as_str(), error.range), ("/routes/bad", Some(3..4)));
    assert_eq!(refused("route", &json!({ "routes": {} })).pointer, "/routes");
    assert_eq!(refused("route", &json!({ "routes": { "rejected": "." } })).pointer, "/routes/rejected");
    assert_eq!(refused("route", &json!({ "routes": { "a/b": "." } })).pointer, "/routes/a~1b");
}

#[test]
fn queries_that_are_fast_and_queries_that_are_not_stand_side_by_side() {
    let routes = json!({ "slow": "[.ms] | any(. > 1000)", "errors": ".status >= 500" });
    let mut filter = filter("route", &json!({ "routes": routes }));
    assert!(
        filter
            .explain()
            .expect("it says")
            .ends_with("in the query of `slow` the fast path lacks the function `any` with these arguments")
    );
    let (texts, rejected) = testkit::apply(filter.as_mut(), EVENTS);
    assert_eq!(texts, [EVENTS[2]]);
    assert_eq!(rejected[0].0, 3);
}
