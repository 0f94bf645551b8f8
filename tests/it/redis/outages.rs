//! A Redis server that is stopped, down at the start, or slow. All events arrive.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use tidegate_servers::redis::Redis;

use crate::harness::{Tidegate, until};

const EVENTS: usize = 100_000;

/// A file of numbered events, half of which are active.
fn numbered(folder: &tempfile::TempDir, events: usize) -> PathBuf {
    let mut text = String::new();
    for number in 0..events {
        let status = if number % 2 == 0 { "active" } else { "idle" };
        writeln!(text, r#"{{"n":{number},"status":"{status}","pad":"xxxxxxxxxxxxxxxxxxxxxxxx"}}"#).unwrap();
    }
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

fn list_of(redis: &Redis) -> Vec<String> {
    let all = redis.query(["LRANGE", "list", "0", "-1"]);
    all.texts().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_hundred_thousand_events_into_a_list_and_a_stream_in_order() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let pipeline = format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{path}"
        [filter.shape]
        plugin = "jq"
        query = '{{n, active: (.status == "active")}}'
        [sink.list]
        plugin = "redis"
        url = "{url}"
        command = "rpush"
        key = "list"
        [sink.stream]
        plugin = "redis"
        from = "shape"
        url = "{url}"
        command = "xadd"
        key = "stream"
        "#,
        path = numbered(&folder, EVENTS).display(),
        url = redis.url(),
    );
    Tidegate::pipeline(&pipeline).end().expect(0);
    let expected = |number: usize| format!(r#"{{"n":{number},"active":{}}}"#, number.is_multiple_of(2));
    let list = list_of(&redis);
    assert_eq!(list.len(), EVENTS);
    for (number, value) in list.iter().enumerate() {
        assert_eq!(*value, expected(number));
    }
    let entries = redis.query(["XRANGE", "stream", "-", "+"]);
    assert_eq!(entries.list().len(), EVENTS);
    for (number, entry) in entries.list().iter().enumerate() {
        assert_eq!(entry.list()[1].texts()[1], expected(number));
    }
}

#[test]
fn redis_that_is_stopped_and_restarted_has_everything() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let folder = tempfile::tempdir().unwrap();
    let path = numbered(&folder, EVENTS);
    let whole = std::fs::read_to_string(&path).unwrap();
    let (first, second) = whole.split_at(whole.len() / 2);
    std::fs::write(&path, first).unwrap();
    let pipeline = format!(
        r#"
        [source.lines]
        plugin = "file"
        path = "{path}"
        follow = true
        [filter.number]
        plugin = "jq"
        query = '.n'
        [sink.list]
        plugin = "redis"
        url = "{url}"
        command = "rpush"
        key = "list"
        batch = {{ events = 500 }}
        retry = {{ base = "20ms", cap = "200ms" }}
        "#,
        path = path.display(),
        url = redis.url(),
    );
    let mut running = Tidegate::pipeline(&pipeline).start();
    until("a tenth is there", || redis.query(["LLEN", "list"]).integer() > Some(EVENTS as i64 / 10));
    redis.kill();
    // Even if the first half was delivered before the kill, the second half is not.
    let mut input = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    input.write_all(second.as_bytes()).unwrap();
    running.wait_for("tries again");
    let before = running.resident();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = running.resident();
        assert!(now < before + (16 << 20), "memory grows while Redis is down: {before} to {now}");
    }
    redis.restart();
    until("everything is there", || {
        redis.query(["LLEN", "list"]).integer() >= Some(EVENTS as i64)
            && redis.query(["LINDEX", "list", "-1"]).text() == (EVENTS - 1).to_string()
    });
    running.signal("TERM");
    running.end().expect(0);
    let list = list_of(&redis);
    let distinct: BTreeSet<usize> = list.iter().map(|number| number.parse().unwrap()).collect();
    assert_eq!(distinct.len(), EVENTS, "nothing is lost");
    assert!(list.len() < EVENTS + EVENTS / 10, "little comes twice: {} in all", list.len());
}

#[test]
fn redis_that_is_down_at_the_start_does_not_block_other_pipelines() {
    let mut redis = Redis::start();
    redis.stop();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let pipeline = format!(
        r#"
        [source.one]
        plugin = "file"
        path = "{path}"
        [sink.list]
        plugin = "redis"
        url = "{url}"
        command = "rpush"
        key = "list"
        retry = {{ base = "20ms", cap = "200ms" }}

        [source.two]
        plugin = "file"
        path = "{path}"
        [sink.copy]
        plugin = "file"
        path = "{copy}"
        "#,
        path = numbered(&folder, 1000).display(),
        url = redis.url(),
        copy = copy.display(),
    );
    let mut running = Tidegate::pipeline(&pipeline).start();
    running.wait_for("tries again");
    let lines = || std::fs::read_to_string(&copy).map_or(0, |text| text.lines().count());
    until("the other pipeline is through", || lines() == 1000);
    redis.restart();
    running.end().expect(0);
    assert_eq!(list_of(&redis).len(), 1000);
}
