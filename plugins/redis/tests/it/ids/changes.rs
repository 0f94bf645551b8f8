use tidegate_servers::redis::Redis;

use crate::ids::run::{Run, add, numbers, options};

/// A server, and a run that has read the first ten entries of its stream.
async fn ten_read() -> (Redis, Run) {
    let redis = Redis::start();
    add(&redis, 0, 10);
    let mut run = Run::new(&options(&redis), None).await;
    run.texts(10).await;
    (redis, run)
}

/// A run that died in the middle of a batch reads the same entries again. Events keep their numbers only if all of them are
/// still there.
#[tokio::test]
async fn entries_in_flight_that_were_deleted_are_noticed() {
    let (redis, run) = ten_read().await;
    let before = run.before.clone();
    assert!(before.is_some());
    add(&redis, 10, 20);
    let mut again = Run::new(&options(&redis), before.clone()).await;
    assert_eq!(again.texts(20).await, numbers(0..20), "and the page ends where it ended");
    assert_eq!(again.replaced, 0);

    redis.query(["XDEL", "s", "4-0"]);
    let mut again = Run::new(&options(&redis), before.clone()).await;
    assert_eq!(again.texts(19).await.len(), 19);
    assert_eq!(again.replaced, 1, "events that a sink has done must not lend their numbers to others");

    redis.query(["XTRIM", "s", "MAXLEN", "5"]);
    let mut again = Run::new(&options(&redis), before.clone()).await;
    assert_eq!(again.texts(5).await, numbers(15..20));
    assert_eq!(again.replaced, 1);

    redis.query(["XTRIM", "s", "MAXLEN", "0"]);
    let mut again = Run::new(&options(&redis), before).await;
    add(&redis, 20, 21);
    assert_eq!(again.texts(1).await, ["20"]);
    assert_eq!(again.replaced, 1);
}

#[tokio::test]
async fn entries_that_were_read_may_be_trimmed() {
    let (redis, run) = ten_read().await;
    let position = run.position.clone();
    redis.query(["XTRIM", "s", "MAXLEN", "0"]);
    add(&redis, 10, 12);
    let mut run = Run::new(&options(&redis), position).await;
    assert_eq!(run.texts(2).await, numbers(10..12));
    assert_eq!(run.replaced, 0);
}

/// Ids of a stream that is created again may be smaller than the position. A read after the position would wait for ever.
#[tokio::test]
async fn stream_that_is_created_again_is_read_from_its_first_entry() {
    let (redis, mut run) = ten_read().await;
    let position = run.position.clone();
    let create_again = || {
        redis.query(["DEL", "s"]);
        redis.query(["XADD", "s", "1-0", "event", "new"]);
    };
    create_again();
    assert_eq!(run.texts(1).await, ["new"], "while it runs");
    let mut later = Run::new(&options(&redis), position.clone()).await;
    assert_eq!(later.texts(1).await, ["new"], "while nothing ran");
    assert_eq!(later.replaced, 1);

    redis.query(["DEL", "s"]);
    let mut gone = Run::new(&options(&redis), position).await;
    redis.query(["XADD", "s", "1-0", "event", "newer"]);
    assert_eq!(gone.texts(1).await, ["newer"], "while it was waited for");
    assert_eq!(gone.replaced, 1);
}

/// With ids of the server's clock, the entries of a stream that is created again are after the position.
#[tokio::test]
async fn stream_that_is_created_again_with_larger_ids_is_read_on() {
    let (redis, mut run) = ten_read().await;
    let position = run.position.clone();
    redis.query(["DEL", "s"]);
    redis.query(["XADD", "s", "*", "event", "new"]);
    assert_eq!(run.texts(1).await, ["new"]);
    let mut later = Run::new(&options(&redis), position).await;
    assert_eq!(later.texts(1).await, ["new"]);
    assert_eq!(later.replaced, 1, "its entries are not those that were read after the position");
}

/// A server that crashed may lack its newest entries. What is left was read.
#[tokio::test]
async fn entries_that_the_server_lost_do_not_make_the_others_come_again() {
    let (redis, run) = ten_read().await;
    let position = run.position.clone();
    redis.query(["DEL", "s"]);
    add(&redis, 0, 6);
    let mut later = Run::new(&options(&redis), position).await;
    add(&redis, 6, 8);
    assert_eq!(later.texts(2).await, numbers(6..8), "not those before, and none is missing");
}
