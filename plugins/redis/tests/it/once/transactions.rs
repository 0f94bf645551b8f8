use serde_json::{Value, json};
use tidegate_sdk::Class;
use tidegate_servers::redis::Redis;

use crate::once::driver::{Driver, events, expect_all, list, record};

/// The contents of a key, in order: the values of a list, or the only field of each entry of a stream.
fn held(redis: &Redis, key: &str) -> Vec<String> {
    if redis.query(["TYPE", key]).text() != "stream" {
        return redis.query(["LRANGE", key, "0", "-1"]).texts().into_iter().map(str::to_owned).collect();
    }
    let entries = redis.query(["XRANGE", key, "-", "+"]);
    entries.list().iter().map(|entry| entry.list()[1].texts()[1].to_owned()).collect()
}

/// Each command that is taken back when the record was not to be stored.
fn commands(redis: &Redis) -> Vec<(Value, &'static str)> {
    let url = redis.url();
    vec![
        (json!({"url": url, "command": "rpush", "key": "right"}), "right"),
        (json!({"url": url, "command": "lpush", "key": "left"}), "left"),
        (json!({"url": url, "command": "xadd", "key": "stream"}), "stream"),
        (
            json!({"url": url, "command": "xadd", "key": "trimmed", "maxlen": 60, "maxlen_exact": true}),
            "trimmed",
        ),
        (json!({"url": url, "command": "rpush", "key": "short", "maxlen": 60}), "short"),
    ]
}

#[tokio::test]
async fn writes_of_a_fenced_process_are_undone() {
    let redis = Redis::start();
    for (options, key) in commands(&redis) {
        let mut old = Driver::new(&options).await.unwrap();
        old.run(100, 50, |_| {}).await.unwrap();
        let before = held(&redis, key);
        assert_eq!(before.len(), if options.get("maxlen").is_some() { 60 } else { 100 }, "{key}");
        let _new = Driver::new(&options).await.unwrap();
        let error = old.run(200, 50, |_| {}).await.unwrap_err();
        assert!(error.class() == Class::Fatal && error.message().contains("another process"), "{error}");
        assert_eq!(held(&redis, key), before, "{key}");
        redis.query(["FLUSHALL"]);
    }
}

/// Guards that one transaction of several is refused, and the following ones are on their way already.
#[tokio::test]
async fn transactions_after_a_refused_one_are_undone() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    let state = "tidegate:{pipe/out}";
    let fields = redis.query(["HKEYS", state]);
    let field = fields.texts().into_iter().find(|field| field.contains("lines")).unwrap();
    redis.query(["HSET", state, field, r#"{"position":"40","base":40,"done":40}"#]);
    let batch = events(100, 8_000);
    let error = driver
        .sink
        .transactional()
        .unwrap()
        .commit(&batch, &driver.lane, &record(8_000), &driver.cx)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Replay, "{error}");
    expect_all(&redis, 100);
}

#[tokio::test]
async fn a_large_batch_is_several_transactions_in_order() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(20_000, 9_000, |_| {}).await.unwrap();
    expect_all(&redis, 20_000);
    let executed = redis.query(["INFO", "commandstats"]).text().to_owned();
    let calls = executed.lines().find_map(|line| line.strip_prefix("cmdstat_exec:calls=")).unwrap();
    let calls: u64 = calls.split(',').next().unwrap().parse().unwrap();
    assert_eq!(calls, 1 + 5 + 5 + 1, "the first asks whether there may be transactions");
}

#[tokio::test]
async fn without_the_right_to_transactions_there_is_the_function() {
    let redis = Redis::start();
    for missing in ["-eval", "-multi", "-ltrim"] {
        redis.query(["ACL", "SETUSER", "tide", "reset", "on", ">pw", "~*", "+@all", missing]);
        let mut options = list(&redis.url());
        options["user"] = json!("tide");
        options["password"] = json!("pw");
        let mut driver = Driver::new(&options).await.unwrap();
        driver.run(100, 50, |_| {}).await.unwrap();
        expect_all(&redis, 100);
        let stats = redis.query(["INFO", "commandstats"]).text().to_owned();
        assert!(stats.contains("cmdstat_fcall"), "{missing}: {stats}");
        assert!(!stats.contains("cmdstat_ltrim"), "{missing}: nothing was to be taken back");
        redis.query(["FLUSHALL"]);
        redis.query(["CONFIG", "RESETSTAT"]);
    }
}
