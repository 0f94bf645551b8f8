use serde_json::{Value, json};
use tidegate_sdk::{Batch, Cx, Delivery, MetricKind, Series, Sink};
use tidegate_testkit::{batch, build_sink, conformance, context};

use super::plugin;

const EVENTS: [&str; 4] = [
    r#"{"status":200,"bytes":10,"seconds":0.02}"#,
    r#"{"status":500,"bytes":"7","seconds":3}"#,
    r#"{"status":200,"bytes":5,"seconds":0.005}"#,
    r#"{"bytes":1,"seconds":60}"#,
];

/// The sink with these options, opened.
async fn open(options: &Value) -> (Box<dyn Sink>, Cx) {
    let mut sink = build_sink(&plugin(), options);
    let (cx, _) = context();
    sink.open(&cx).await.unwrap();
    (sink, cx)
}

async fn write(sink: &mut Box<dyn Sink>, cx: &Cx, events: &Batch) -> Delivery {
    sink.write(events, cx).await.unwrap()
}

fn series(cx: &Cx) -> Vec<(String, Series)> {
    let metric = cx.metrics().all().remove(0);
    metric.series().into_iter().map(|(labels, series)| (labels.join(","), series)).collect()
}

fn values(cx: &Cx) -> Vec<(String, f64)> {
    series(cx).into_iter().map(|(labels, series)| (labels, series.value)).collect()
}

fn named(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
    pairs.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect()
}

#[tokio::test]
async fn conforms() {
    conformance::sink(&plugin(), &json!({ "name": "a_total" }), &["a", "b"]).await;
}

#[tokio::test]
async fn counter_counts_events_by_label() {
    let options = json!({ "name": "requests_total", "labels": { "status": ".status" } });
    let (mut sink, cx) = open(&options).await;
    let _ = write(&mut sink, &cx, &batch(EVENTS)).await;
    assert_eq!(values(&cx), named(&[("", 1.0), ("200", 2.0), ("500", 1.0)]));
    assert_eq!(cx.metrics().all()[0].definition().help, "Events of the sink test.");
}

#[tokio::test]
async fn counter_without_labels_counts_any_payload() {
    let (mut sink, cx) = open(&json!({ "name": "lines_total" })).await;
    let _ = write(&mut sink, &cx, &batch(["not json", ""])).await;
    assert_eq!(values(&cx), named(&[("", 2.0)]));
}

#[tokio::test]
async fn counter_adds_values_and_gauge_keeps_the_latest() {
    for (kind, expected) in [("counter", 23.0), ("gauge", 1.0)] {
        let (mut sink, cx) = open(&json!({ "name": "bytes_total", "type": kind, "value": ".bytes" })).await;
        let _ = write(&mut sink, &cx, &batch(EVENTS)).await;
        assert_eq!(values(&cx), named(&[("", expected)]), "{kind}");
    }
}

#[tokio::test]
async fn histogram_has_the_default_buckets() {
    let (mut sink, cx) = open(&json!({ "name": "seconds", "type": "histogram", "value": ".seconds" })).await;
    let _ = write(&mut sink, &cx, &batch(EVENTS)).await;
    let (_, found) = series(&cx).remove(0);
    assert_eq!(found.buckets, [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
    assert!((found.value - 63.025).abs() < 1e-9);
    let metric = cx.metrics().all().remove(0);
    assert!(matches!(&metric.definition().kind, MetricKind::Histogram(bounds) if bounds.len() == 11));
}

#[tokio::test]
async fn events_without_a_number_are_rejected_and_the_others_count() {
    let (mut sink, cx) = open(&json!({ "name": "n_total", "value": ".n" })).await;
    let events = [r#"{"n":1}"#, r#"{"n":"x"}"#, r#"{"n":null}"#, r#"{"n":-1}"#, "{", r#"{"n":"inf"}"#];
    let delivery = write(&mut sink, &cx, &batch(events)).await;
    let reasons: Vec<_> = delivery.rejected().iter().map(|one| (one.event, one.reason.as_str())).collect();
    assert_eq!(reasons[0], (1, "the value at `.n` is not a number: x"));
    assert_eq!(reasons[1], (2, "the event has no value at `.n`"));
    assert_eq!(reasons[2], (3, "a counter only grows, and the value is -1"));
    assert_eq!(reasons[3].0, 4);
    assert_eq!(reasons[4], (5, "the value at `.n` is not a number: inf"));
    assert_eq!(values(&cx), named(&[("", 1.0)]));
}

#[tokio::test]
async fn series_have_a_limit_and_long_labels_are_cut() {
    let options = json!({ "name": "a_total", "labels": { "id": ".id" }, "max_series": 2 });
    let (mut sink, cx) = open(&options).await;
    let long = format!(r#"{{"id":"{}"}}"#, "\u{e4}".repeat(200));
    let _ = write(&mut sink, &cx, &batch([long.as_str(), r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#])).await;
    let cut = "\u{e4}".repeat(128);
    assert_eq!(values(&cx), named(&[("1", 1.0), ("_other", 2.0), (&cut, 1.0)]));
}

#[tokio::test]
async fn metric_goes_on_in_the_next_instance() {
    let options = json!({ "name": "a_total" });
    let (mut sink, cx) = open(&options).await;
    let _ = write(&mut sink, &cx, &batch(["x"])).await;
    let mut next = build_sink(&plugin(), &options);
    next.open(&cx).await.unwrap();
    let _ = write(&mut next, &cx, &batch(["y"])).await;
    assert_eq!(values(&cx), named(&[("", 2.0)]));
}

#[test]
fn wrong_options_are_named() {
    let base = |name: &str| json!({ "name": name });
    let with = |key: &str, value: Value| {
        let mut options = base("a_total");
        options[key] = value;
        options
    };
    let cases = [
        (base("1a"), "/name"),
        (base(""), "/name"),
        (base("tidegate_x_total"), "/name"),
        (with("type", json!("gauge")), "/value"),
        (with("labels", json!({ "le": ".x" })), "/labels/le"),
        (with("labels", json!({ "a-b": ".x" })), "/labels/a-b"),
        (with("labels", json!({ "__a": ".x" })), "/labels/__a"),
        (with("buckets", json!([1.0])), "/buckets"),
        (json!({ "name": "a", "type": "histogram", "value": ".x", "buckets": [] }), "/buckets"),
        (json!({ "name": "a", "type": "histogram", "value": ".x", "buckets": [2.0, 1.0] }), "/buckets"),
    ];
    for (options, pointer) in cases {
        let Err(error) = plugin().build(&options) else { panic!("{options} is accepted") };
        assert_eq!(error.pointer, pointer, "{options}");
    }
    let several =
        json!({ "name": "1a", "type": "gauge", "labels": { "le": ".x", "a-b": ".x" }, "buckets": [1.0] });
    let Err(error) = plugin().build(&several) else { panic!("{several} is accepted") };
    let pointers: Vec<_> = error.each().map(|one| one.pointer.as_str()).collect();
    assert_eq!(pointers, ["/name", "/labels/a-b", "/labels/le", "/value", "/buckets"], "all at once");
    let warned = build_sink(&plugin(), &base("requests")).warnings();
    assert_eq!(warned[0].pointer, "/name");
    assert!(build_sink(&plugin(), &base("requests_total")).warnings().is_empty());
}
