use tidegate_sdk::Class;
use tidegate_servers::redis::Redis;

use crate::group::worker::{Worker, add, expect_each_once, list, out, pending};

/// Acknowledgements and writes are lost together, and are repeated.
#[tokio::test]
async fn a_server_that_lost_data_gets_it_again() {
    let mut redis = Redis::start_with(&["--save", "3600 1"]);
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 10);
    worker.until(&redis, 5).await;
    redis.query(["SAVE"]);
    let kept = out(&redis).len();
    worker.until(&redis, 10).await;
    redis.kill();
    redis.restart();
    assert_eq!(out(&redis).len(), kept, "the rest is forgotten");
    worker.until(&redis, 10).await;
    expect_each_once(&redis, 10);
    assert_eq!(pending(&redis), 0);
}

/// Guards the group as it is guarded for the sink: reading writes to it.
#[tokio::test]
async fn after_a_restart_the_append_only_file_is_rewritten_before_anything_is_read() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    add(&redis, 0, 1);
    redis.kill();
    redis.restart();
    let never = "aof_last_rewrite_time_sec:-1";
    assert!(redis.query(["INFO", "persistence"]).text().contains(never));
    let mut worker = Worker::closed(&redis, "a", &list(&redis));
    while let Err(error) = worker.source.open(&worker.cx).await {
        assert_eq!(error.class(), Class::Busy, "{error}");
    }
    assert!(!redis.query(["INFO", "persistence"]).text().contains(never));
}

/// Row 28: an entry that is trimmed while it is on its way is written; one that is trimmed before it is read
/// again is acknowledged, because there is nothing to be made of it.
#[tokio::test]
async fn pending_entries_are_trimmed() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 1);
    let work = worker.read().await;
    redis.query(["XTRIM", "in", "MAXLEN", "0"]);
    worker.finish(&work).await;
    work.over();
    assert_eq!((pending(&redis), out(&redis)), (0, vec![0]));

    add(&redis, 1, 2);
    drop(worker.read().await);
    redis.query(["XTRIM", "in", "MAXLEN", "0"]);
    assert_eq!(pending(&redis), 1);
    let mut next = Worker::new(&redis, "a", &list(&redis)).await;
    let work = next.read().await;
    assert_eq!((work.batch.len(), work.ack_handles.range().len()), (0, 1));
    next.finish(&work).await;
    assert_eq!((pending(&redis), out(&redis)), (0, vec![0]));
}

/// Row 29: Redis forgets the pending entries of a consumer that is deleted, so they count as done by others.
/// Later entries do not wait.
#[tokio::test]
async fn a_consumer_is_deleted_while_it_works() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 1);
    let work = worker.read().await;
    redis.query(["XGROUP", "DELCONSUMER", "in", "g", "a"]);
    assert_eq!(worker.ack_and_write(&work).await.events_already_done(), [0]);
    work.over();
    add(&redis, 1, 3);
    worker.until(&redis, 2).await;
    assert_eq!((pending(&redis), out(&redis)), (0, vec![1, 2]));
}

#[tokio::test]
async fn a_group_that_is_gone_stops_the_lane() {
    let redis = Redis::start();
    let mut worker = Worker::new(&redis, "a", &list(&redis)).await;
    add(&redis, 0, 1);
    worker.until(&redis, 1).await;
    redis.query(["XGROUP", "DESTROY", "in", "g"]);
    let error = loop {
        match worker.source.next(&worker.cx).await {
            Err(error) => break error,
            Ok(read) => assert!(read.is_none_or(|read| read.batch.is_empty())),
        }
    };
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("the consumer group `g` of `in` is gone"), "{error}");
    expect_each_once(&redis, 1);
}
