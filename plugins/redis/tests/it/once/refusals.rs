use serde_json::json;
use tidegate_sdk::Class;
use tidegate_servers::redis::Redis;

use crate::once::driver::{Driver, claim, expect_all, list, numbered, record, sink};

#[tokio::test]
async fn earlier_owner_is_fenced() {
    let redis = Redis::start();
    let mut old = Driver::new(&list(&redis.url())).await.unwrap();
    old.run(100, 50, |_| {}).await.unwrap();
    let mut new = Driver::new(&list(&redis.url())).await.unwrap();
    let error = old.run(200, 50, |_| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("another process has taken this sink over"), "{error}");
    new.run(200, 50, |_| {}).await.unwrap();
    expect_all(&redis, 200);
}

/// Guards a claim that a rolled-back server hands out a second time.
#[tokio::test]
async fn two_claims_of_one_epoch_are_distinguished() {
    let redis = Redis::start();
    let mut old = Driver::new(&list(&redis.url())).await.unwrap();
    old.run(100, 50, |_| {}).await.unwrap();
    redis.query(["HSET", "tidegate:{pipe/out}", "epoch", "0"]);
    let _new = Driver::new(&list(&redis.url())).await.unwrap();
    assert_eq!(old.run(200, 50, |_| {}).await.unwrap_err().class(), Class::Fatal);
    expect_all(&redis, 100);
}

#[tokio::test]
async fn starting_over_forgets_the_records_and_fences_all_the_same() {
    let redis = Redis::start();
    let mut old = Driver::new(&list(&redis.url())).await.unwrap();
    old.run(100, 50, |_| {}).await.unwrap();
    let mut new = sink(&list(&redis.url()));
    new.open(&old.cx).await.unwrap();
    let reset = tidegate_sdk::Claim { reset: true, ..claim() };
    assert!(new.transactional().unwrap().claim(&reset, &old.cx).await.unwrap().is_empty());
    assert_eq!(old.run(200, 50, |_| {}).await.unwrap_err().class(), Class::Fatal);
}

#[tokio::test]
async fn an_eviction_policy_is_refused() {
    let redis = Redis::start_with(&["--maxmemory-policy", "volatile-lru"]);
    let error = Driver::new(&list(&redis.url())).await.err().unwrap();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`volatile-lru`") && error.message().contains("noeviction"), "{error}");
    redis.query(["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    Driver::new(&list(&redis.url())).await.unwrap();
}

#[tokio::test]
async fn a_literal_key_of_another_type_holds_everything_up() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    redis.query(["SET", "list", "mine"]);
    let error = driver.run(100, 50, |_| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`list` holds a string, which `rpush` cannot"), "{error}");
    redis.query(["DEL", "list"]);
    driver.run(100, 50, |_| {}).await.unwrap();
    expect_all(&redis, 100);
}

#[tokio::test]
async fn a_key_from_data_of_another_type_is_rejected_and_nothing_is_written() {
    let redis = Redis::start();
    let options = json!({"url": redis.url(), "command": "rpush", "key": "l:{.k}"});
    let mut driver = Driver::new(&options).await.unwrap();
    redis.query(["SET", "l:1", "mine"]);
    let batch = numbered(0, [r#"{"k":0}"#, r#"{"k":1}"#, r#"{"k":2}"#, r#"{"k":1}"#]);
    let delivery = driver.commit(&batch, &record(4)).await.unwrap();
    assert_eq!(delivery.rejected().iter().map(|one| one.event).collect::<Vec<_>>(), [1, 3]);
    assert!(delivery.rejected()[0].reason.contains("`l:1` holds a string"));
    assert_eq!(redis.query(["EXISTS", "l:0", "l:2"]).integer(), Some(0));
    let rest = batch.select([0, 2]);
    assert!(driver.commit(&rest, &record(4)).await.unwrap().rejected().is_empty());
    // Sent twice, done once.
    assert!(driver.commit(&rest, &record(4)).await.unwrap().rejected().is_empty());
    assert_eq!(redis.query(["LLEN", "l:0"]).integer(), Some(1));
    assert_eq!(driver.claim().await.unwrap()[&driver.lane], record(4));
}

#[tokio::test]
async fn an_event_without_a_key_is_rejected_before_anything_is_written() {
    let redis = Redis::start();
    let options = json!({"url": redis.url(), "command": "zadd", "key": "z", "score": ".n"});
    let mut driver = Driver::new(&options).await.unwrap();
    let batch = numbered(0, [r#"{"n":1}"#, r#"{"n":"x"}"#, r#"{"n":1e-999}"#]);
    let delivery = driver.commit(&batch, &record(3)).await.unwrap();
    assert_eq!(delivery.rejected().iter().map(|one| one.event).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(redis.query(["EXISTS", "z"]).integer(), Some(0));
}

#[tokio::test]
async fn a_full_server_is_waited_for_and_holds_no_half_of_a_batch() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    redis.query(["CONFIG", "SET", "maxmemory", "1"]);
    let batch = crate::once::driver::events(0, 50);
    let error = driver
        .sink
        .transactional()
        .unwrap()
        .commit(&batch, &driver.lane, &record(50), &driver.cx)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    assert!(error.message().contains("OOM"), "{error}");
    assert_eq!(redis.query(["LLEN", "list"]).integer(), Some(0));
    redis.query(["CONFIG", "SET", "maxmemory", "0"]);
    driver.run(50, 50, |_| {}).await.unwrap();
    expect_all(&redis, 50);
}

#[tokio::test]
async fn a_user_without_the_right_to_functions_or_to_the_command() {
    let redis = Redis::start();
    let acl = ["ACL", "SETUSER", "tide", "on", ">pw", "~*", "+@all", "-function", "-config"];
    redis.query(acl);
    let mut options = list(&redis.url());
    options["user"] = json!("tide");
    options["password"] = json!("pw");
    let mut driver = Driver::new(&options).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    redis.query(["SCRIPT", "FLUSH"]);
    driver.run(200, 50, |_| {}).await.unwrap();
    expect_all(&redis, 200);
    redis.query(["ACL", "SETUSER", "tide", "-rpush"]);
    let error = driver.run(300, 50, |_| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("NOPERM") && error.message().contains("rpush"), "{error}");
    expect_all(&redis, 200);
}

#[tokio::test]
async fn function_is_loaded_again_after_the_server_lost_it() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    redis.query(["FUNCTION", "FLUSH"]);
    driver.run(200, 50, |_| {}).await.unwrap();
    expect_all(&redis, 200);
}

#[test]
fn a_channel_keeps_nothing() {
    let options = json!({"url": "redis://127.0.0.1:1", "command": "publish", "key": "c"});
    assert!(sink(&options).transactional().err().unwrap().message().contains("xadd"));
    for command in ["xadd", "rpush", "lpush", "sadd", "set"] {
        let options = json!({"url": "redis://127.0.0.1:1", "command": command, "key": "c", "ttl": "1h"});
        sink(&options).transactional().unwrap();
    }
}
