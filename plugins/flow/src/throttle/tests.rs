use std::time::Duration;

use serde_json::json;
use tidegate_sdk::Output;
use tidegate_testkit::{apply, batch, build_async_filter, build_filter, conformance, context};

use tokio::time::Instant;

use super::plugin;

#[tokio::test(start_paused = true)]
async fn events_over_the_rate_wait_in_order() {
    let mut filter = build_async_filter(&plugin(), &json!({ "events": 200, "burst": 1 }));
    let (cx, _stopping) = context();
    let (started, whole) = (Instant::now(), batch(["a", "b", "c", "d", "e"]));
    let mut out = Output::new(&whole);
    filter.process(&whole, &mut out, &cx).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20), "{:?}", started.elapsed());
    assert_eq!(out.emitted()[0].1.texts(), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn events_within_the_rate_do_not_wait_for_their_batch() {
    let mut filter = build_async_filter(&plugin(), &json!({ "events": 2, "per": "1h" }));
    let (cx, stopping) = context();
    let whole = batch(["a", "b", "c", "d"]);
    let mut out = Output::resumable(&whole);
    let first = filter.process(&whole, &mut out, &cx);
    tokio::time::timeout(Duration::from_secs(20), first).await.expect("it does not wait").unwrap();
    assert_eq!(out.take_deferred(), Some(2));
    assert_eq!(out.take().0[0].1.texts(), ["a", "b"]);

    // The rest would wait for half an hour, but for the drain.
    stopping.cancel();
    let rest = whole.select(2..4);
    let mut out = Output::resumable(&rest);
    filter.process(&rest, &mut out, &cx).await.unwrap();
    assert_eq!(out.take_deferred(), None);
    assert_eq!(out.take().0[0].1.texts(), ["c", "d"]);
}

#[test]
fn events_over_the_rate_of_their_key_are_dropped() {
    let options = json!({ "events": 2, "per": "1h", "key": ".u", "excess": "drop", "missing": "reject" });
    let mut filter = build_filter(&plugin(), &options);
    let events = [r#"{"u":1}"#, r#"{"u":1}"#, r#"{"u":1}"#, r#"{"u":2}"#, "{}"];
    let (kept, rejected) = apply(&mut *filter, events);
    assert_eq!(kept, [r#"{"u":1}"#, r#"{"u":1}"#, r#"{"u":2}"#]);
    assert_eq!(rejected, [(4, "the event has no value at `.u`".to_owned())]);
}

#[test]
fn without_a_key_all_events_share_the_rate() {
    let options = json!({ "events": 5, "per": "1h", "burst": 1, "excess": "drop" });
    assert_eq!(apply(&mut *build_filter(&plugin(), &options), ["not", "json"]).0, ["not"]);
}

#[test]
fn options_that_make_no_rate_are_refused() {
    for (options, pointer) in [
        (json!({ "key": ".a" }), "/key"),
        (json!({ "events": 0 }), "/events"),
        (json!({ "per": "0s" }), "/events"),
        (json!({ "burst": 0 }), "/burst"),
        (json!({ "max_keys": 1 }), "/max_keys"),
    ] {
        assert_eq!(plugin().build(&options).err().unwrap().pointer, pointer, "{options}");
    }
}

#[tokio::test]
async fn conforms() {
    let samples = [r#"{"u":1}"#, r#"{"u":2}"#];
    let drop = json!({ "events": 2, "key": ".u", "excess": "drop" });
    conformance::filter(&plugin(), &drop, &samples);
    conformance::async_filter(&plugin(), &json!({ "events": 100_000 }), &samples).await;
    conformance::async_filter(&plugin(), &json!({ "events": 1000, "burst": 1 }), &samples).await;
}

#[tokio::test]
async fn a_reload_keeps_what_was_used_up() {
    let (cx, stopping) = context();
    let waiting = json!({ "events": 4, "per": "1h" });
    let mut filter = build_async_filter(&plugin(), &waiting);
    let used = batch(["a", "b", "c"]);
    filter.process(&used, &mut Output::new(&used), &cx).await.unwrap();
    let saved = filter.save(&cx).await.unwrap().unwrap();

    // One is left of the burst, whether the next ones wait or are dropped.
    let mut next = build_async_filter(&plugin(), &waiting);
    next.restore(&saved, &cx).await.unwrap();
    let after = batch(["d", "e"]);
    let mut out = Output::resumable(&after);
    next.process(&after, &mut out, &cx).await.unwrap();
    assert_eq!(out.take_deferred(), Some(1));
    let mut dropping = build_filter(&plugin(), &json!({ "events": 4, "per": "1h", "excess": "drop" }));
    dropping.restore(&saved).unwrap();
    assert_eq!(apply(&mut *dropping, ["d", "e", "f"]).0, ["d"]);
    // Of another rate, three events are used up as well.
    let mut wider = build_filter(&plugin(), &json!({ "events": 6, "per": "1m", "excess": "drop" }));
    wider.restore(&saved).unwrap();
    assert_eq!(apply(&mut *wider, ["d", "e", "f", "g"]).0, ["d", "e", "f"]);

    // What passes because the pipeline drains is used up too.
    stopping.cancel();
    let mut drained = build_async_filter(&plugin(), &waiting);
    let six = batch(["a", "b", "c", "d", "e", "f"]);
    drained.process(&six, &mut Output::new(&six), &cx).await.unwrap();
    dropping.restore(&drained.save(&cx).await.unwrap().unwrap()).unwrap();
    assert!(apply(&mut *dropping, ["g"]).0.is_empty());
}

#[test]
fn a_reload_keeps_the_rate_of_each_key_that_there_is_room_for() {
    let options = |max_keys: usize| json!({ "events": 1, "per": "1h", "key": ".u", "excess": "drop", "max_keys": max_keys });
    let event = |user: usize| format!(r#"{{"u":{user}}}"#);
    let mut filter = build_filter(&plugin(), &options(100));
    assert_eq!(apply(&mut *filter, (0..40).map(event)).0.len(), 40);
    let saved = filter.save().unwrap().unwrap();
    let passing = |max_keys: usize| {
        let mut next = build_filter(&plugin(), &options(max_keys));
        next.restore(&saved).unwrap();
        apply(&mut *next, (0..40).map(event)).0.len()
    };
    assert_eq!((passing(100), passing(80)), (0, 0));
    assert!(passing(4) >= 36, "the number of remembered keys is limited");
}
