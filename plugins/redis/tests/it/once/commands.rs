use serde_json::json;
use tidegate_servers::redis::Redis;

use crate::once::driver::{Driver, numbered, record};

/// The contents of a server after these payloads were committed with these options.
async fn written(options: serde_json::Value, payloads: &[&str]) -> Redis {
    let redis = Redis::start();
    let mut options = options;
    options["url"] = json!(redis.url());
    let mut driver = Driver::new(&options).await.unwrap();
    let done = payloads.len() as u64;
    let delivery = driver.commit(&numbered(0, payloads), &record(done)).await.unwrap();
    assert!(delivery.rejected().is_empty(), "{delivery:?}");
    redis
}

#[tokio::test]
async fn each_command_stores_what_it_does_without_a_record() {
    let redis = written(
        json!({"command": "xadd", "key": "s", "as": "fields", "maxlen": 2, "maxlen_exact": true, "ttl": "1h"}),
        &[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3,"b":"x"}"#],
    )
    .await;
    let entries = redis.query(["XRANGE", "s", "-", "+"]);
    let last = &entries.list()[1].list()[1];
    assert_eq!((entries.list().len(), last.texts()), (2, vec!["a", "3", "b", "x"]));
    assert!(redis.query(["PTTL", "s"]).integer() > Some(0));

    let redis = written(
        json!({"command": "lpush", "key": "l:{.k}", "maxlen": 2, "value": ".v"}),
        &[r#"{"k":1,"v":1}"#, r#"{"k":2,"v":2}"#, r#"{"k":1,"v":3}"#, r#"{"k":1,"v":4}"#],
    )
    .await;
    assert_eq!(redis.query(["LRANGE", "l:1", "0", "-1"]).texts(), ["4", "3"]);
    assert_eq!(redis.query(["LRANGE", "l:2", "0", "-1"]).texts(), ["2"]);

    let redis = written(json!({"command": "set", "key": "k:{.k}", "ttl": "1h"}), &[r#"{"k":1}"#]).await;
    assert_eq!(redis.query(["GET", "k:1"]).text(), r#"{"k":1}"#);
    assert!(redis.query(["PTTL", "k:1"]).integer() > Some(0));

    let redis = written(json!({"command": "hset", "key": "h:{.k}"}), &[r#"{"k":1,"n":"x"}"#]).await;
    assert_eq!(redis.query(["HGET", "h:1", "n"]).text(), "x");
    let redis = written(json!({"command": "sadd", "key": "m"}), &["a", "b", "a"]).await;
    assert_eq!(redis.query(["SCARD", "m"]).integer(), Some(2));
    let options = json!({"command": "zadd", "key": "z", "score": ".s", "value": ".v"});
    let redis = written(options, &[r#"{"s":1.5,"v":"a"}"#, r#"{"s":-2,"v":"b"}"#]).await;
    assert_eq!(redis.query(["ZRANGE", "z", "0", "-1"]).texts(), ["b", "a"]);
}

#[tokio::test]
async fn objects_with_very_many_members() {
    let members: Vec<_> = (0..9_000).map(|n| format!(r#""f{n}":{n}"#)).collect();
    let large = format!("{{{}}}", members.join(","));
    let redis = written(json!({"command": "hset", "key": "h"}), &[&large, r#"{"last":1}"#]).await;
    assert_eq!(redis.query(["HLEN", "h"]).integer(), Some(9_001));

    let options = json!({"url": redis.url(), "command": "xadd", "key": "s", "as": "fields"});
    let mut driver = Driver::new(&options).await.unwrap();
    let fits = format!("{{{}}}", members[..2_000].join(","));
    let delivery = driver.commit(&numbered(2, [&fits, &large]), &record(4)).await.unwrap();
    assert_eq!(delivery.rejected().len(), 1);
    assert!(delivery.rejected()[0].reason.contains("9000 fields"), "{delivery:?}");
    let delivery = driver.commit(&numbered(2, [&fits]), &record(4)).await.unwrap();
    assert!(delivery.rejected().is_empty());
    assert_eq!(redis.query(["XLEN", "s"]).integer(), Some(1));
}

/// A batch is stored in several steps if it is large. What is stored of it is not stored again when the rest
/// is tried another time.
#[tokio::test]
async fn a_large_batch_is_stored_step_by_step() {
    let redis = Redis::start();
    let options = json!({"url": redis.url(), "command": "rpush", "key": "l:{.k}"});
    let mut driver = Driver::new(&options).await.unwrap();
    redis.query(["SET", "l:1", "mine"]);
    let payloads: Vec<_> = (0..12_000).map(|n| format!(r#"{{"k":{},"n":{n}}}"#, n / 11_999)).collect();
    let batch = numbered(0, &payloads);
    let delivery = driver.commit(&batch, &record(12_000)).await.unwrap();
    assert_eq!(delivery.rejected().iter().map(|one| one.event).collect::<Vec<_>>(), [11_999]);
    let rest = batch.select(0..11_999);
    assert!(driver.commit(&rest, &record(12_000)).await.unwrap().rejected().is_empty());
    let found = redis.query(["LRANGE", "l:0", "0", "-1"]);
    assert!(found.texts().into_iter().eq(payloads[..11_999].iter().map(String::as_str)));
    assert_eq!(driver.claim().await.unwrap()[&driver.lane], record(12_000));
}

#[tokio::test]
async fn a_record_may_move_on_without_events() {
    let redis = Redis::start();
    let mut driver = Driver::new(&crate::once::driver::list(&redis.url())).await.unwrap();
    let none = numbered(0, Vec::<String>::new());
    let _ = driver.commit(&none, &record(70)).await.unwrap();
    assert_eq!(driver.claim().await.unwrap()[&driver.lane], record(70));
    assert_eq!(redis.query(["EXISTS", "list"]).integer(), Some(0));
}
