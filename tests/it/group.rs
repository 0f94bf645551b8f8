//! A stream that several processes share, into the same Redis, effectively once.

use tidegate_testkit::redis::Redis;

use crate::harness::{Tidegate, until};

const ENTRIES: usize = 3_000;

/// Of each entry: nothing if it ends in 0, two results if in 1, an error if it is 13, else one.
fn pipeline(redis: &Redis) -> String {
    format!(
        r#"
        [pipeline]
        delivery = "effectively_once"
        [source.jobs]
        plugin = "redis_stream"
        url = "{url}"
        stream = "jobs"
        group = "workers"
        [filter.shape]
        plugin = "jq"
        query = """
        if . == 13 then error("unlucky") else . end
        | select(. % 10 != 0) | if . % 10 == 1 then ., -. else . end
        """
        [sink.results]
        plugin = "redis"
        url = "{url}"
        command = "rpush"
        key = "results"
        "#,
        url = redis.url(),
    )
}

fn pending(redis: &Redis) -> Option<i64> {
    redis.query(["XPENDING", "jobs", "workers"]).list().first()?.integer()
}

#[test]
fn two_processes_share_a_stream_and_each_result_is_there_once() {
    let redis = Redis::start();
    let add = format!("for n = 1, {ENTRIES} do redis.call('XADD', 'jobs', '*', 'event', n) end");
    redis.query(["EVAL", &add, "0"]);
    let mut workers: Vec<_> = (0..2).map(|_| Tidegate::pipeline(&pipeline(&redis)).start()).collect();
    for worker in &workers {
        worker.wait_for("jobs -> results: effectively once (in no order");
    }
    let mut expected: Vec<i64> = Vec::new();
    for number in (1..=ENTRIES as i64).filter(|number| number % 10 != 0 && *number != 13) {
        expected.push(number);
        expected.extend((number % 10 == 1).then_some(-number));
    }
    until("everything is there", || {
        redis.query(["LLEN", "results"]).integer() >= Some(expected.len() as i64)
    });
    until("nothing is pending", || pending(&redis) == Some(0));
    for worker in &mut workers {
        worker.signal("TERM");
        worker.end().expect(0);
    }
    let all = redis.query(["LRANGE", "results", "0", "-1"]);
    let mut found: Vec<i64> = all.texts().into_iter().map(|text| text.parse().unwrap()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let consumers = redis.query(["XINFO", "CONSUMERS", "jobs", "workers"]);
    assert!(consumers.list().is_empty(), "both have left: {consumers:?}");
}
