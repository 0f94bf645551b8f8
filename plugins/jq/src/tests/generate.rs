//! The source `generate`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_sdk::Position;
use tidegate_testkit::{build_source, context, read_all};

use super::{plugin, refused};

async fn all(options: &Value) -> (Vec<String>, Vec<String>) {
    let mut source = build_source(&plugin("generate"), options);
    read_all(source.as_mut()).await.unwrap()
}

#[tokio::test]
async fn a_query_sees_n_and_ends_at_the_count() {
    let (texts, refused) = all(&json!({ "query": "{n: $n}", "count": 3 })).await;
    assert_eq!(texts, [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    assert!(refused.is_empty());
    let (texts, _) = all(&json!({ "query": "range($n)", "count": 3000 })).await;
    assert_eq!(texts.len(), 3000 * 2999 / 2);
    let (texts, _) = all(&json!({ "query": "$now > 1700000000, $ENV", "count": 1 })).await;
    assert_eq!(texts, ["true", "{}"]);
}

#[tokio::test]
async fn a_line_is_every_event() {
    let (texts, _) = all(&json!({ "line": "hello", "count": 20_000 })).await;
    assert_eq!(texts.len(), 20_000);
    assert!(texts.iter().all(|text| text == "hello"));
    let (texts, _) = all(&json!({ "line": "{\n  \"a\": 1.0\n}", "count": 1 })).await;
    assert_eq!(texts, [r#"{"a":1.0}"#], "JSON is one line");
    let (texts, _) = all(&json!({ "line": "two\nlines", "count": 1 })).await;
    assert_eq!(texts, ["two\nlines"], "text stays as it is");
}

#[tokio::test]
async fn a_failing_query_refuses_that_number_alone() {
    let (texts, refused) =
        all(&json!({ "query": "if $n == 1 then error(\"no\") else $n end", "count": 3 })).await;
    assert_eq!(texts, ["0", "2"]);
    assert_eq!(refused, ["for `$n` 1: no"]);
}

#[tokio::test]
async fn random_depends_on_the_seed_alone() {
    let options = |seed| json!({ "query": "$random", "count": 100, "seed": seed });
    let (first, _) = all(&options(1)).await;
    let values: Vec<f64> = first.iter().map(|text| text.parse().unwrap()).collect();
    assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
    let mean = values.iter().sum::<f64>() / 100.0;
    assert!((0.3..0.7).contains(&mean), "{mean}");
    assert_eq!(all(&options(1)).await.0, first);
    assert_ne!(all(&options(2)).await.0, first);
}

#[tokio::test]
async fn source_resumes_after_its_position() {
    let options = json!({ "query": "[$n, $random]", "count": 2000, "seed": 7 });
    let (whole, _) = all(&options).await;
    let (cx, _stopping) = context();
    let mut source = build_source(&plugin("generate"), &options);
    source.open(&cx).await.unwrap();
    let first = source.next(&cx).await.unwrap().unwrap().batch;
    let position = first.origin(0).position.clone().unwrap();
    assert_eq!(cx.progress().get(), Some((first.len() as u64, 2000)));

    let (cx, _stopping) = context();
    let cx = cx.with_resume(BTreeMap::from([(String::new(), position)]));
    let mut source = build_source(&plugin("generate"), &options);
    source.open(&cx).await.unwrap();
    let mut texts = first.texts();
    while let Some(next) = source.next(&cx).await.unwrap() {
        texts.extend(next.batch.texts());
    }
    assert_eq!(texts, whole);
}

#[tokio::test]
async fn a_position_of_something_else_is_fatal() {
    let (cx, _stopping) = context();
    let cx = cx.with_resume(BTreeMap::from([(String::new(), Position::new(&"elsewhere"))]));
    let mut source = build_source(&plugin("generate"), &json!({ "line": "x" }));
    assert!(source.open(&cx).await.is_err());
}

#[tokio::test]
async fn source_ends_promptly_when_the_pipeline_drains() {
    let (cx, stopping) = context();
    let mut source = build_source(&plugin("generate"), &json!({ "line": "x", "interval": "1h" }));
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.len(), 1, "the first comes at once");
    stopping.cancel();
    assert!(source.next(&cx).await.unwrap().is_none());
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        (json!({}), ""),
        (json!({ "line": "x", "query": "1" }), "/line"),
        (json!({ "line": "x", "rate": 1, "interval": "1s" }), "/rate"),
        (json!({ "line": "x", "rate": 0 }), "/rate"),
        (json!({ "line": "x", "interval": "0s" }), "/interval"),
        (json!({ "query": "$meta" }), "/query"),
    ];
    for (options, pointer) in cases {
        assert_eq!(refused("generate", &options).pointer, pointer, "{options}");
    }
}
