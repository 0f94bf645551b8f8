use std::time::Duration;

use serde_json::json;
use tidegate_servers::redis::Redis;

use crate::group::worker::{Work, Worker, add, expect_each_once, list, out, pending};

#[tokio::test]
async fn entries_are_acknowledged_with_the_writes() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 10);
    let work = worker.read().await;
    assert_eq!(pending(&redis), work.batch.len() as i64);
    worker.finish(&work).await;
    assert_eq!((pending(&redis), out(&redis).len()), (0, work.batch.len()));
    work.over();
    worker.until(&redis, 10).await;
    expect_each_once(&redis, 10);
    assert_eq!(pending(&redis), 0);
}

/// The one that was slow, or frozen, finds its entries done when it goes on.
#[tokio::test]
async fn stolen_entries_are_written_by_the_first_consumer() {
    let redis = Redis::start();
    let mut slow = Worker::new(&redis, "slow", &list(&redis)).await;
    add(&redis, 0, 3);
    let held = slow.read().await;
    assert_eq!(held.batch.len(), 3);
    add(&redis, 3, 6);
    // As if by somebody else: the slow one gives signs of life, and so they would stay its own.
    let ids: Vec<String> =
        (0..2).map(|index| String::from_utf8(held.ack_handles.get(index).to_vec()).unwrap()).collect();
    redis.query(["XCLAIM", "in", "g", "quick", "0", &ids[0], &ids[1]]);
    let mut quick = Worker::new(&redis, "quick", &list(&redis)).await;
    quick.until(&redis, 5).await;
    assert_eq!(out(&redis).len(), 5, "two that were stolen, and three new ones");
    let delivery = slow.ack_and_write(&held).await;
    assert_eq!(delivery.events_already_done(), [0, 1]);
    held.over();
    expect_each_once(&redis, 6);
    assert_eq!(pending(&redis), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_second_write() {
    let redis = Redis::start();
    let mut options = list(&redis);
    options["time_limit"] = json!("2s");
    let mut worker = Worker::new(&redis, "a", &options).await;
    add(&redis, 0, 1);
    let first = worker.read().await;
    worker.finish(&first).await;
    first.over();
    add(&redis, 1, 4);
    let mut work = worker.read().await;
    while work.batch.len() < 3 {
        worker.finish(&work).await;
        work = worker.read().await;
    }
    redis.pause();
    worker.try_ack_and_write(&work).await.unwrap_err();
    redis.unpause();
    // The server does it now, and the answer is lost.
    while out(&redis).len() < 4 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let delivery = worker.ack_and_write(&work).await;
    assert!(delivery.events_already_done().is_empty(), "it was this worker that did it");
    expect_each_once(&redis, 4);
}

/// The entries `0..6`, of which nothing, one, or several events were made, in a mixed order.
fn mixed(mut work: Work, pieces: &[usize]) -> Work {
    work.batch = work.batch.select(pieces.iter().copied());
    work
}

#[tokio::test]
async fn an_entry_may_become_nothing_or_several_events() {
    let redis = Redis::start();
    for (command, key, expected) in [
        ("rpush", "out", vec!["LRANGE out 0 -1", "0", "2", "2", "2", "4", "5"]),
        ("rpush", "out:{.}", vec!["LRANGE out:2 0 -1", "2", "2", "2"]),
        ("sadd", "out", vec!["SMEMBERS out", "0", "2", "4", "5"]),
        ("set", "out:{.}", vec!["MGET out:0 out:2 out:4 out:5", "0", "2", "4", "5"]),
    ] {
        redis.query(["FLUSHALL"]);
        let options = json!({"url": redis.url(), "command": command, "key": key});
        redis.query(["XGROUP", "CREATE", "in", "g", "0", "MKSTREAM"]);
        add(&redis, 0, 6);
        let mut worker = Worker::new(&redis, "a", &options).await;
        let work = mixed(worker.read().await, &[5, 2, 0, 2, 4, 2]);
        worker.finish(&work).await;
        let query: Vec<&str> = expected[0].split(' ').collect();
        let found = redis.query(query);
        assert_eq!(found.texts(), expected[1..], "{command} {key}");
        assert_eq!(pending(&redis), 0, "{command} {key}");
    }
}

/// Of a batch of which others have done a part, exactly the rest is written, whatever the command.
#[tokio::test]
async fn of_a_batch_that_is_done_in_part_the_rest_is_written() {
    let redis = Redis::start();
    for (command, more, query) in [
        ("rpush", json!({"key": "out"}), "LRANGE out 0 -1"),
        ("lpush", json!({"key": "out", "maxlen": 100, "ttl": "1h"}), "LRANGE out 0 -1"),
        ("zadd", json!({"key": "out", "score": "."}), "ZRANGE out 0 -1"),
        ("set", json!({"key": "out:{.}", "ttl": "1h"}), "MGET out:0 out:2 out:3 out:5"),
        ("xadd", json!({"key": "out", "maxlen": 100}), "EVAL flat 0"),
    ] {
        redis.query(["FLUSHALL"]);
        let mut options = more;
        options["url"] = json!(redis.url());
        options["command"] = json!(command);
        redis.query(["XGROUP", "CREATE", "in", "g", "0", "MKSTREAM"]);
        add(&redis, 0, 6);
        let mut worker = Worker::new(&redis, "a", &options).await;
        let work = mixed(worker.read().await, &[0, 1, 1, 2, 2, 3, 4, 5]);
        for number in [1, 4] {
            redis.query([b"XACK", b"in".as_slice(), b"g", work.ack_handles.get(number)]);
        }
        let delivery = worker.ack_and_write(&work).await;
        assert_eq!(delivery.events_already_done(), [1, 2, 6], "{command}");
        let flat = "local all = {} for _, one in ipairs(redis.call('XRANGE', 'out', '-', '+')) do \
                    all[#all + 1] = one[2][2] end return all";
        let words: Vec<&str> =
            query.split(' ').map(|word| if word == "flat" { flat } else { word }).collect();
        let found = redis.query(words);
        let mut found = found.texts();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, ["0", "2", "3", "5"], "{command}");
        assert_eq!(pending(&redis), 0, "{command}");
    }
}

/// More than one call carries: each is a step of its own, and what is done is not done again.
#[tokio::test]
async fn large_batch_is_acknowledged_in_several_steps() {
    let redis = Redis::start();
    redis.query(["XGROUP", "CREATE", "in", "g", "0", "MKSTREAM"]);
    let fill = "for n = 0, 11999 do redis.call('XADD', 'in', '*', 'event', n) end";
    redis.query(["EVAL", fill, "0"]);
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    worker.until(&redis, 12_000).await;
    expect_each_once(&redis, 12_000);
    assert_eq!(pending(&redis), 0);
}

/// A server that is Redis 6, or a user who may not keep functions there: the text is run.
#[tokio::test]
async fn without_functions_a_script_does_the_same() {
    let redis = Redis::start();
    redis.query(["ACL", "SETUSER", "default", "-function", "-fcall"]);
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 10);
    worker.until(&redis, 10).await;
    redis.query(["SCRIPT", "FLUSH"]);
    add(&redis, 10, 20);
    worker.until(&redis, 20).await;
    expect_each_once(&redis, 20);
}
