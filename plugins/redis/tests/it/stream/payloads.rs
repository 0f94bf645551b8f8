use serde_json::json;
use tidegate_sdk::{AttributeValue, Outcome, Replay};
use tidegate_servers::redis::Redis;

use crate::stream::reader::{Reader, add, consumers, finish, options, pending};

#[tokio::test]
async fn old_and_new_entries_are_read_and_acknowledged() {
    let redis = Redis::start();
    add(&redis, 0, 100);
    let mut reader = Reader::new(&options(&redis, "a")).await;
    assert_eq!(reader.source.replay(), Replay::Redelivery);
    let mut texts = reader.deliver(100).await;
    add(&redis, 100, 103);
    texts.extend(reader.deliver(3).await);
    assert!(texts.iter().eq((0..103).map(|number| number.to_string()).collect::<Vec<_>>().iter()));
    reader.close().await.unwrap();
    assert_eq!((pending(&redis), consumers(&redis).len()), (0, 0));
}

#[tokio::test]
async fn a_group_may_begin_at_what_comes() {
    let redis = Redis::start();
    add(&redis, 0, 5);
    let mut options = options(&redis, "a");
    options["start"] = json!("$");
    let mut reader = Reader::new(&options).await;
    add(&redis, 5, 7);
    assert_eq!(reader.deliver(2).await, ["5", "6"]);
}

#[tokio::test]
async fn an_entry_as_an_object_and_its_attributes() {
    let redis = Redis::start();
    redis.query(["XADD", "s", "7-3", "name", "a \"b\"", "n", "1", "name", "é"]);
    let mut options = options(&redis, "a");
    options["as"] = json!("fields");
    let mut reader = Reader::new(&options).await;
    let batch = reader.next().await;
    assert_eq!(batch.batch.attribute(0, "id"), Some(&AttributeValue::from("7-3")));
    assert_eq!(batch.batch.attribute(0, "deliveries"), Some(&AttributeValue::from(1)));
    assert_eq!(batch.batch.attribute(0, "stream"), Some(&AttributeValue::from("s")));
    assert_eq!(finish(batch, Outcome::Delivered), [r#"{"name":["a \"b\"","é"],"n":"1"}"#]);
}

#[tokio::test]
async fn json_over_several_lines_becomes_one_and_text_stays() {
    let redis = Redis::start();
    for payload in ["{\n  \"a b\": 1.50\n}\n", "\u{feff}{\"a\":1}", "two\nlines", "{\n"] {
        redis.query(["XADD", "s", "*", "event", payload]);
    }
    let mut reader = Reader::new(&options(&redis, "a")).await;
    assert_eq!(reader.deliver(4).await, [r#"{"a b":1.50}"#, r#"{"a":1}"#, "two\nlines", "{\n"]);
}

#[tokio::test]
async fn an_entry_without_the_field_is_rejected_and_acknowledged() {
    let redis = Redis::start();
    redis.query(["XADD", "s", "7-3", "other", "x"]);
    add(&redis, 0, 1);
    let mut reader = Reader::new(&options(&redis, "a")).await;
    let mut batch = reader.next().await;
    let rejected = std::mem::take(&mut batch.rejected);
    assert_eq!(rejected[0].payload, r#"{"other":"x"}"#);
    assert!(rejected[0].reason.contains("no field `event` (entry 7-3 of `s`)"), "{}", rejected[0].reason);
    assert_eq!(finish(batch, Outcome::Rejected("no field".to_owned())), ["0"]);
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn an_entry_that_fails_again_and_again_is_rejected() {
    let redis = Redis::start();
    add(&redis, 0, 1);
    let mut options = options(&redis, "a");
    options["max_deliveries"] = json!(2);
    for deliveries in [1_i64, 2] {
        let mut reader = Reader::new(&options).await;
        let batch = reader.next().await;
        assert_eq!(batch.batch.attribute(0, "deliveries"), Some(&AttributeValue::from(deliveries)));
        finish(batch, Outcome::Failed);
        reader.close().await.unwrap();
        assert_eq!((pending(&redis), consumers(&redis).len()), (1, 1));
    }
    let mut reader = Reader::new(&options).await;
    let batch = reader.next().await;
    assert!(batch.batch.is_empty());
    assert!(batch.rejected[0].reason.contains("3 times, and `max_deliveries` is 2"), "{batch:?}");
    finish(batch, Outcome::Rejected("poison".to_owned()));
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn large_entries_are_read_few_at_a_time() {
    let redis = Redis::start();
    let large = "x".repeat(3 << 20);
    for _ in 0..30 {
        redis.query(["XADD", "s", "*", "event", &large]);
    }
    add(&redis, 0, 1);
    // The first answer would be longer than is read at a time.
    let mut reader = Reader::new(&options(&redis, "a")).await;
    let texts = reader.deliver(31).await;
    assert!(texts[..30].iter().all(|text| text.len() == large.len()));
    assert_eq!(texts[30], "0");
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let redis = Redis::start();
    add(&redis, 0, 50);
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    tidegate_testkit::conformance::source(&plugin, &options(&redis, "a"), 50).await;
}
