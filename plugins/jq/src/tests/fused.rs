//! Filters in a row, fused and one by one: the same results, and the same counts between them.

use serde_json::json;
use tidegate_sdk::{Batch, Filter, Output, Passed};
use tidegate_testkit as testkit;

use super::filter;

fn filters(queries: &[&str]) -> Vec<Box<dyn Filter>> {
    queries.iter().map(|query| filter("jq", &json!({ "query": query }))).collect()
}

/// The number of queries that are fused, their results, and the events between them; `None` if they are not fused,
/// or not for these events.
fn fused(queries: &[&str], batch: &Batch) -> Option<(usize, Vec<String>, Vec<Passed>)> {
    let filters = filters(queries);
    let downstream: Vec<&dyn Filter> = filters[1..].iter().map(|filter| &**filter).collect();
    let mut fused = filters[0].fuse(&downstream)?;
    let mut passed = vec![Passed::default(); fused.filters() - 1];
    let mut out = Output::new(batch);
    let done = fused.process(batch, &mut out, &mut passed);
    assert!(out.rejected().is_empty(), "what is fused rejects nothing");
    let texts = out.emitted().iter().flat_map(|(_, batch)| batch.texts()).collect();
    done.then(|| (fused.filters(), texts, passed))
}

fn one_by_one(queries: &[&str], batch: &Batch) -> (Vec<String>, Vec<Passed>) {
    let (mut batch, mut passed) = (batch.clone(), Vec::new());
    for mut filter in filters(queries) {
        let mut out = Output::new(&batch);
        filter.process(&batch, &mut out).unwrap();
        assert!(out.rejected().is_empty());
        batch = Batch::concat(&out.take().0.into_iter().map(|(_, batch)| batch).collect::<Vec<_>>());
        passed.push(Passed { events: batch.len(), bytes: batch.bytes() });
    }
    passed.pop();
    (batch.texts(), passed)
}

#[test]
fn fused_filters_give_and_count_what_single_ones_do() {
    let events = [
        r#"{"a":1,"b":"x","c":true}"#,
        r#"{"a":2,"b":"x","c":null}"#,
        r#"{"a":3,"b":"y","c":true}"#,
        r#"{"a":4,"b":"x","c":true}"#,
    ];
    let batch = testkit::batch(events);
    let cases: [&[&str]; 4] = [
        &["select(.b == \"x\")", "select(.c)", "{a}"],
        &["select(.a > 1)", "select(.a < 4)"],
        &["select(.a > 1) | select(.c)", ".a, .b"],
        &["select(.a > 9)", "select(.b)", "."],
    ];
    for queries in cases {
        let (count, texts, passed) = fused(queries, &batch).expect("they are fused");
        assert_eq!(count, queries.len());
        assert_eq!((texts, passed), one_by_one(queries, &batch), "{queries:?}");
    }
}

#[test]
fn a_filter_that_reshapes_is_the_last_one_that_is_fused() {
    let batch = testkit::batch([r#"{"a":1}"#]);
    let (count, texts, _) = fused(&["select(.a)", "{b: .a}", "select(.b)"], &batch).expect("two are fused");
    assert_eq!((count, texts), (2, vec![r#"{"b":1}"#.to_owned()]));
    assert!(fused(&["{b: .a}", "select(.b)"], &batch).is_none());
    assert!(fused(&["select(.a)", "select($meta.key)"], &batch).is_none());
    assert!(fused(&["."], &batch).is_none());
}

#[test]
fn events_that_may_be_rejected_are_left_to_the_single_filters() {
    let queries = ["select(.a)", "select(.b > 1) | .c.d"];
    for event in ["{\"a\":1,", "{\"a\":1,\"b\":2,\"c\":3}", "{ \"a\":1,\"b\":2}"] {
        assert!(fused(&queries, &testkit::batch([event])).is_none(), "{event}");
    }
    assert!(fused(&queries, &testkit::batch([r#"{"a":1,"b":2,"c":{"d":3}}"#])).is_some());
}
