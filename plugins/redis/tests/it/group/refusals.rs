use serde_json::json;
use tidegate_sdk::Class;
use tidegate_servers::redis::Redis;

use crate::group::worker::{Worker, add, expect_each_once, list, out, pending};

#[tokio::test]
async fn a_literal_key_of_another_type_holds_everything_up() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    redis.query(["SET", "out", "mine"]);
    add(&redis, 0, 1);
    let work = worker.read().await;
    let error = worker.try_ack_and_write(&work).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`out` holds a string"), "{error}");
    assert_eq!((pending(&redis), redis.query(["GET", "out"]).text()), (1, "mine"));
    redis.query(["DEL", "out"]);
    worker.finish(&work).await;
    expect_each_once(&redis, 1);
}

/// The bad event goes to the dead letters first; then its entry is acknowledged with the others.
#[tokio::test]
async fn an_event_whose_key_holds_another_type_is_rejected_before_anything_is_done() {
    let redis = Redis::start();
    let options = json!({"url": redis.url(), "command": "rpush", "key": "out:{.}"});
    redis.query(["XGROUP", "CREATE", "in", "g", "0", "MKSTREAM"]);
    add(&redis, 0, 4);
    redis.query(["SET", "out:2", "mine"]);
    let mut worker = Worker::new(&redis, "a", &options).await;
    let mut work = worker.read().await;
    let delivery = worker.ack_and_write(&work).await;
    assert_eq!(delivery.rejected().iter().map(|one| one.event).collect::<Vec<_>>(), [2]);
    assert_eq!((pending(&redis), redis.query(["EXISTS", "out:0"]).integer()), (4, Some(0)));
    work.batch = work.batch.select([0, 1, 3]);
    assert!(worker.ack_and_write(&work).await.rejected().is_empty());
    assert_eq!(pending(&redis), 0);
    assert_eq!(redis.query(["LRANGE", "out:3", "0", "-1"]).texts(), ["3"]);
}

/// Entries that were written before a refused call are not written again, and are not counted as those of another process.
#[tokio::test]
async fn a_refusal_in_the_second_step_leaves_the_first_one_done() {
    let redis = Redis::start();
    let options = json!({"url": redis.url(), "command": "rpush", "key": "out:{.}"});
    redis.query(["XGROUP", "CREATE", "in", "g", "0", "MKSTREAM"]);
    redis.query(["EVAL", "for n = 0, 11999 do redis.call('XADD', 'in', '*', 'event', n) end", "0"]);
    redis.query(["SET", "out:11999", "mine"]);
    let mut worker = Worker::new(&redis, "a", &options).await;
    let mut work = worker.read().await;
    while work.batch.len() <= 6_000 {
        worker.finish(&work).await;
        work.over();
        work = worker.read().await;
    }
    let (left, last) = (pending(&redis), work.batch.len() - 1);
    let delivery = worker.ack_and_write(&work).await;
    assert_eq!(delivery.rejected().iter().map(|one| one.event).collect::<Vec<_>>(), [last]);
    assert_eq!(left - pending(&redis), 5_000, "the first step");
    work.batch = work.batch.select(0..last);
    worker.finish(&work).await;
    assert_eq!(pending(&redis), 0);
    assert_eq!(redis.query(["LLEN", "out:11998"]).integer(), Some(1));
}

/// Its server may have forgotten meanwhile what the sink has done; then it would be lost.
#[tokio::test]
async fn the_source_acknowledges_nothing_itself() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 1);
    worker.read().await.over();
    worker.source.close(&worker.cx).await.unwrap();
    worker.cx.tasks().joined().await;
    assert_eq!(pending(&redis), 1);
}

#[tokio::test]
async fn a_full_server_does_nothing_by_half() {
    for functions in [true, false] {
        let redis = Redis::start();
        if !functions {
            redis.query(["ACL", "SETUSER", "default", "-function", "-fcall"]);
        }
        let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
        add(&redis, 0, 1);
        let work = worker.read().await;
        redis.query(["CONFIG", "SET", "maxmemory", "1"]);
        let error = worker.try_ack_and_write(&work).await.unwrap_err();
        assert!(error.message().contains("maxmemory"), "{error}");
        assert_eq!((pending(&redis), out(&redis).len()), (1, 0), "functions: {functions}");
        redis.query(["CONFIG", "SET", "maxmemory", "0"]);
        worker.finish(&work).await;
        expect_each_once(&redis, 1);
        assert_eq!(pending(&redis), 0);
    }
}

#[tokio::test]
async fn a_right_that_is_missing_holds_everything_up() {
    for right in ["-xack", "-rpush"] {
        let redis = Redis::start();
        let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
        add(&redis, 0, 1);
        let work = worker.read().await;
        redis.query(["ACL", "SETUSER", "default", right]);
        let error = worker.try_ack_and_write(&work).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured, "{error}");
        assert!(error.message().to_lowercase().contains(&right[1..]), "{error}");
        assert_eq!((pending(&redis), out(&redis).len()), (1, 0));
    }
}

#[tokio::test]
async fn an_eviction_policy_is_refused_before_anything_is_read() {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let mut worker = Worker::closed(&redis, "a", &list(&redis));
    let error = worker.source.open(&worker.cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`allkeys-lru`"), "{error}");
}

/// A source that reads here, and a sink that writes there: both named `localhost`, say.
#[tokio::test]
async fn a_server_without_the_group_is_refused() {
    let (redis, other) = (Redis::start(), Redis::start());
    let mut worker = Worker::new(&redis, "a", &list(&other)).await;
    add(&redis, 0, 1);
    let work = worker.read().await;
    let error = worker.try_ack_and_write(&work).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("is not on the server that the sink is connected to"), "{error}");
    assert_eq!((pending(&redis), out(&other).len()), (1, 0));
}
