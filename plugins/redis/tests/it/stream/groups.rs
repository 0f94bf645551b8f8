use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tidegate_sdk::{Outcome, SourceBatch};
use tidegate_servers::redis::Redis;

use crate::stream::reader::{Reader, add, consumers, finish, options, pending};

/// Three processes share a stream; one dies with what it has read. The others deliver all of it.
#[tokio::test]
async fn two_of_three_deliver_everything() {
    let redis = Redis::start();
    let mut readers = Vec::new();
    for name in ["a", "b", "c"] {
        let mut options = options(&redis, name);
        // Longer than a busy machine needs from a read to its acknowledgement.
        options["claim_after"] = json!("2s");
        readers.push(Reader::new(&options).await);
    }
    add(&redis, 0, 150);
    // Each has something in its hands.
    let mut held: Vec<SourceBatch> = Vec::new();
    for reader in &mut readers {
        held.push(reader.next().await);
    }
    let lost = held.remove(0).batch.texts();
    assert!(!lost.is_empty());
    drop(readers.remove(0));
    let mut all = BTreeSet::new();
    for batch in held {
        all.extend(finish(batch, Outcome::Delivered));
    }
    let mut reader = readers.remove(0);
    let mut twice = 0;
    while all.len() < 150 {
        for text in reader.deliver(1).await {
            twice += usize::from(!all.insert(text));
        }
    }
    assert_eq!(twice, 0, "what was acknowledged is not taken over");
    assert!(lost.iter().all(|text| all.contains(text)));
    reader.close().await.unwrap();
    readers.remove(0).close().await.unwrap();
    assert_eq!(pending(&redis), 0);
    assert_eq!(consumers(&redis), ["a"], "the dead one could not take itself out");
}

/// Work that takes longer than `claim_after` stays with its consumer.
#[tokio::test]
async fn a_consumer_that_is_busy_keeps_its_entries() {
    let redis = Redis::start();
    let with = |name| {
        let mut options = options(&redis, name);
        options["claim_after"] = json!("2s");
        options
    };
    let mut slow = Reader::new(&with("slow")).await;
    add(&redis, 0, 3);
    let batch = slow.next().await;
    assert_eq!(batch.batch.len(), 3);
    let mut other = Reader::new(&with("other")).await;
    let stolen = tokio::time::timeout(Duration::from_secs(5), other.source.next(&other.cx)).await;
    assert!(stolen.is_err(), "nothing is there for the other one");
    finish(batch, Outcome::Delivered);
    slow.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn an_entry_is_acknowledged_a_while_after_its_delivery() {
    let redis = Redis::start();
    let mut options = options(&redis, "a");
    options["ack_after"] = json!("3s");
    let mut reader = Reader::new(&options).await;
    add(&redis, 0, 3);
    let since = std::time::Instant::now();
    reader.deliver(3).await;
    assert_eq!(pending(&redis), 3);
    reader.close().await.unwrap();
    assert!(since.elapsed() >= Duration::from_secs(3));
    assert_eq!(pending(&redis), 0);
}

#[test]
fn options_that_cannot_be() {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    let base = json!({"url": "redis://h", "stream": "s", "group": "g"});
    for (name, value) in [
        ("stream", json!("")),
        ("group", json!("")),
        ("consumer", json!("")),
        ("claim_after", json!("1ms")),
        ("max_deliveries", json!(0)),
        ("time_limit", json!("0s")),
        ("cluster", json!(["redis://h"])),
    ] {
        let mut options = base.clone();
        options[name] = value;
        let error = plugin.build(&options).err();
        assert!(error.is_some(), "{name}");
    }
    assert!(plugin.build(&base).is_ok());
}

/// The warnings about a source with these options.
fn warnings(extra: &serde_json::Value) -> Vec<String> {
    let mut options = json!({"url": "redis://localhost", "stream": "s", "group": "g"});
    options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    let warnings = plugin.build(&options).unwrap().capabilities().warnings;
    warnings.iter().map(|warning| format!("{}: {}", warning.pointer, warning.message)).collect()
}

#[test]
fn claim_after_below_the_time_limits_is_a_warning() {
    assert!(warnings(&json!({})).is_empty());
    assert!(
        warnings(&json!({"claim_after": "3s", "time_limit": "1s", "connect_time_limit": "2s"})).is_empty()
    );
    for options in [
        json!({"claim_after": "1s"}),
        json!({"claim_after": "14s"}),
        json!({"time_limit": "1m"}),
        json!({"connect_time_limit": "30s"}),
    ] {
        let warnings = warnings(&options);
        assert!(warnings.len() == 1 && warnings[0].starts_with("/claim_after: "), "{options}: {warnings:?}");
        assert!(warnings[0].contains("delivered twice"), "{warnings:?}");
    }
}
