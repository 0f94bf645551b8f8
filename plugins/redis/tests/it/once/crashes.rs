use std::sync::mpsc;
use std::time::{Duration, Instant};

use tidegate_sdk::Class;
use tidegate_servers::redis::Redis;

use crate::once::driver::{Driver, expect_all, list};
use crate::once::proxy::Proxy;

const EVENTS: u64 = 6_000;
const BATCH: u64 = 40;

/// Commits all events into a server that `crash` ruins after every tenth batch, while the next ones
/// are on their way. Returns how much was replayed.
async fn survive(settings: &[&str], mut crash: impl FnMut(&mut Redis, u64) + Send + 'static) -> u64 {
    let mut redis = Redis::start_with(settings);
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    redis.query(["SAVE"]);
    let (now, when) = mpsc::sync_channel::<()>(1);
    let crashes = std::thread::spawn(move || {
        for round in 0.. {
            if when.recv().is_err() {
                break;
            }
            // A little later each time, so that it meets every step of a commit.
            let since = Instant::now();
            while since.elapsed() < Duration::from_micros(round * 173 % 2_000) {
                std::hint::spin_loop();
            }
            crash(&mut redis, round);
        }
        redis
    });
    let ran = driver.run(EVENTS, BATCH, |done| {
        if (done / BATCH).is_multiple_of(10) {
            let _ = now.try_send(());
        }
    });
    ran.await.unwrap();
    drop(now);
    let redis = crashes.join().unwrap();
    // The last crash may have come after the last commit.
    driver.claim().await.unwrap();
    driver.run(EVENTS, BATCH, |_| {}).await.unwrap();
    expect_all(&redis, EVENTS);
    driver.replayed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_an_append_only_file() {
    for sync in ["always", "everysec", "no"] {
        survive(&["--appendonly", "yes", "--appendfsync", sync], |redis, _| redis.restart()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_snapshots_only() {
    let replayed = survive(&["--dbfilename", "dump.rdb"], |redis, round| {
        if round % 3 == 1 {
            redis.query(["SAVE"]);
        } else {
            redis.restart();
        }
    });
    assert!(replayed.await > 0, "a server with old snapshots has rolled back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_append_only_file() {
    survive(&["--appendonly", "yes", "--appendfsync", "always"], |redis, round| {
        redis.kill();
        tear(redis, 1 + round * 37 % 900);
        // Twice: bytes that are appended after the tear may be dropped at the second start.
        redis.restart();
        if round % 2 == 0 {
            redis.restart();
        }
    })
    .await;
}

/// Cuts this many bytes off the file that the server appends to.
fn tear(redis: &Redis, bytes: u64) {
    let files = std::fs::read_dir(redis.folder().join("appendonlydir")).unwrap();
    let incremental = files.map(|file| file.unwrap().path());
    let newest =
        incremental.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max_by_key(|path| {
            let name = path.to_string_lossy().into_owned();
            name.split('.').rev().nth(2).and_then(|number| number.parse::<u64>().ok())
        });
    let file = std::fs::OpenOptions::new().write(true).open(newest.unwrap()).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(bytes)).unwrap();
}

/// Guards the defect that entries appended after a torn transaction vanished at the next start.
#[tokio::test]
async fn writes_after_a_torn_transaction_are_kept() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    redis.kill();
    tear(&redis, 20);
    redis.restart();
    driver.run(200, 50, |_| {}).await.unwrap();
    assert_eq!(driver.replayed, 50);
    redis.restart();
    expect_all(&redis, 200);
    driver.run(300, 50, |_| {}).await.unwrap();
    assert_eq!(driver.replayed, 50, "nothing more was lost");
    expect_all(&redis, 300);
}

#[tokio::test]
async fn a_server_that_keeps_nothing_ends_it() {
    let mut redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    redis.restart();
    let error = driver.run(200, 50, |_| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("100 events were committed"), "{error}");
    assert_eq!(redis.query(["DBSIZE"]).integer(), Some(0), "nothing was written");
}

#[tokio::test]
async fn emptied_between_two_commits() {
    let redis = Redis::start();
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    redis.query(["FLUSHALL"]);
    let error = driver.run(200, 50, |_| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("tidegate:{pipe/out}"), "{error}");
    assert!(error.message().contains("FLUSHALL"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers() {
    let redis = Redis::start();
    let proxy = Proxy::new(redis.address(), 3);
    let mut driver = Driver::new(&list(&proxy.url())).await.unwrap();
    driver.run(2_000, 25, |_| {}).await.unwrap();
    assert!(proxy.lost() >= 20, "{} answers were lost", proxy.lost());
    assert_eq!(driver.claims, 1, "the record is read back after a lost answer");
    expect_all(&redis, 2_000);
}

/// A process that ends at any moment, with a commit on its way that may still arrive.
#[tokio::test]
async fn a_process_that_ends_at_any_moment() {
    let redis = Redis::start();
    for round in 0..60_u64 {
        let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
        let span = Duration::from_millis(1 + round % 7);
        let _ = tokio::time::timeout(span, driver.run(EVENTS, BATCH, |_| {})).await;
    }
    let mut driver = Driver::new(&list(&redis.url())).await.unwrap();
    driver.run(EVENTS, BATCH, |_| {}).await.unwrap();
    expect_all(&redis, EVENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_the_tail_takes_over() {
    let mut master = Redis::start();
    let replica = Redis::start();
    let proxy = Proxy::new(master.address(), u64::MAX);
    let mut driver = Driver::new(&list(&proxy.url())).await.unwrap();
    driver.run(100, 50, |_| {}).await.unwrap();
    replica.query(["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let since = Instant::now();
    while replica.query(["LLEN", "list"]).integer() != Some(100) {
        assert!(since.elapsed() < Duration::from_secs(20), "the replica is in step");
    }
    replica.query(["REPLICAOF", "NO", "ONE"]);
    driver.run(200, 50, |_| {}).await.unwrap();
    master.kill();
    proxy.lead_to(replica.address());
    driver.run(300, 50, |_| {}).await.unwrap();
    assert_eq!(driver.replayed, 100);
    expect_all(&replica, 300);
}
