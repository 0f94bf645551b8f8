use tidegate_sdk::{Class, Outcome};
use tidegate_servers::redis::Redis;

use crate::stream::reader::{Reader, add, finish, options, pending, until};

#[tokio::test]
async fn pending_entries_that_were_trimmed_are_acknowledged() {
    let redis = Redis::start();
    add(&redis, 0, 4);
    let mut reader = Reader::new(&options(&redis, "a")).await;
    finish(reader.next().await, Outcome::Failed);
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 4);
    redis.query(["XTRIM", "s", "MAXLEN", "1"]);
    let mut reader = Reader::new(&options(&redis, "a")).await;
    assert_eq!(reader.deliver(1).await, ["3"]);
    until("nothing is pending", || pending(&redis) == 0).await;
}

#[tokio::test]
async fn a_group_that_is_gone_is_created_again() {
    let redis = Redis::start();
    let mut reader = Reader::new(&options(&redis, "a")).await;
    add(&redis, 0, 2);
    reader.deliver(2).await;
    redis.query(["FLUSHALL"]);
    add(&redis, 2, 5);
    assert_eq!(reader.deliver(3).await, ["2", "3", "4"]);
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut reader = Reader::new(&options(&redis, "a")).await;
    add(&redis, 0, 2);
    let held = reader.next().await;
    redis.restart();
    add(&redis, 2, 5);
    // What is on its way is not read a second time, though it is pending.
    assert_eq!(reader.deliver(3).await, ["2", "3", "4"]);
    assert_eq!(finish(held, Outcome::Delivered), ["0", "1"]);
    reader.close().await.unwrap();
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_misconfigured() {
    let redis = Redis::start();
    redis.query(["SET", "s", "mine"]);
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    let mut source = tidegate_testkit::build_source(&plugin, &options(&redis, "a"));
    let (cx, _stopping) = tidegate_testkit::context();
    let error = source.open(&cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`s` cannot be read"), "{error}");
}
