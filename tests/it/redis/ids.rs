//! A stream that one pipeline reads by the ids of its entries: the id is the position.

use tidegate_servers::redis::Redis;

use crate::harness::{Tidegate, until};

const ENTRIES: usize = 20_000;

fn pipeline(redis: &Redis, start: &str, sink: &str) -> String {
    format!(
        r#"
        [pipeline]
        id = "ids"
        delivery = "effectively_once"
        [source.numbers]
        plugin = "redis_stream"
        url = "{url}"
        stream = "numbers"
        start = "{start}"
        [filter.odd]
        plugin = "jq"
        query = "select(. % 2 == 1)"
        [sink.out]
        {sink}
        "#,
        url = redis.url(),
    )
}

fn list(redis: &Redis) -> String {
    format!(
        "plugin = \"redis\"\nurl = \"{}\"\ncommand = \"rpush\"\nkey = \"out\"\nbatch = {{ events = 100 }}",
        redis.url()
    )
}

fn add(redis: &Redis, first: usize, last: usize) {
    let add = format!("for n = {first}, {last} do redis.call('XADD', 'numbers', '*', 'event', n) end");
    redis.query(["EVAL", &add, "0"]);
}

fn odd(last: usize) -> Vec<String> {
    (1..=last).filter(|number| number % 2 == 1).map(|number| number.to_string()).collect()
}

fn written(redis: &Redis) -> usize {
    redis.query(["LLEN", "out"]).integer().unwrap_or_default() as usize
}

#[test]
fn each_entry_is_written_once_and_in_order_though_the_engine_is_killed() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.toml");
    std::fs::write(&path, pipeline(&redis, "0", &list(&redis))).unwrap();
    let start = || Tidegate::run(&[path.as_path()]).within(folder.path()).start();
    add(&redis, 1, ENTRIES);
    for part in 1..=4 {
        let mut running = start();
        running.wait_for("numbers -> out: effectively once");
        until("a part is written", || written(&redis) >= ENTRIES / 2 * part / 5);
        running.signal("KILL");
        running.end();
    }
    let mut running = start();
    until("everything is written", || written(&redis) >= ENTRIES / 2);
    // It goes on with what comes.
    add(&redis, ENTRIES + 1, ENTRIES + 10);
    until("new entries are written", || written(&redis) >= ENTRIES / 2 + 5);
    running.signal("TERM");
    running.end().expect(0);
    let mut running = start();
    add(&redis, ENTRIES + 11, ENTRIES + 20);
    until("entries after a restart are written", || written(&redis) >= ENTRIES / 2 + 10);
    running.signal("TERM");
    running.end().expect(0);
    assert_eq!(redis.query(["LRANGE", "out", "0", "-1"]).texts(), odd(ENTRIES + 20));
}

#[test]
fn entries_that_were_trimmed_while_nothing_ran_are_a_warning() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.toml");
    let sink = format!("plugin = \"file\"\npath = {:?}", folder.path().join("out.jsonl"));
    std::fs::write(&path, pipeline(&redis, "0", &sink)).unwrap();
    let out = folder.path().join("out.jsonl");
    let lines =
        || std::fs::read_to_string(&out).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let start = || Tidegate::run(&[path.as_path()]).within(folder.path()).start();
    add(&redis, 1, 10);
    let mut running = start();
    until("the first part is written", || lines() == odd(10));
    running.signal("TERM");
    running.end().expect(0);
    // 11 and 12 are never seen, and what was read may be trimmed.
    add(&redis, 11, 20);
    redis.query(["XTRIM", "numbers", "MAXLEN", "8"]);
    let mut running = start();
    running.wait_for("2 entries were trimmed or deleted before they were read");
    let expected: Vec<_> = odd(20).into_iter().filter(|number| number != "11").collect();
    until("the rest is written", || lines() == expected);
    redis.query(["XTRIM", "numbers", "MAXLEN", "0"]);
    add(&redis, 21, 30);
    let expected: Vec<_> = odd(30).into_iter().filter(|number| number != "11").collect();
    until("more is written", || lines() == expected);
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert_eq!(ended.stderr.matches("before they were read").count(), 1, "{}", ended.stderr);
}

#[test]
fn check_prints_the_guarantee_of_a_stream_without_a_group() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.toml");
    for (start, code, printed) in [
        ("1719843200000-0", 0, "numbers -> out  effectively once"),
        ("1719843200000", 2, "is neither \"0\" nor \"$\" nor an id"),
    ] {
        std::fs::write(&path, pipeline(&redis, start, &list(&redis))).unwrap();
        let checked = Tidegate::new(&["check"]).arg(&path).end().expect(code);
        assert!(format!("{}{}", checked.stdout, checked.stderr).contains(printed), "{checked:?}");
    }
}
