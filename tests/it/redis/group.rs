//! A stream that several processes share, into the same Redis, effectively once. The plugins are built in or from shared
//! libraries.

use tidegate_servers::redis::Redis;

use crate::harness::{Running, Tidegate, until};
use crate::plugins::loading::built_in;
use crate::plugins::processes::{children, kill};

const ENTRIES: usize = 3_000;

const PROMISE: &str = "jobs -> results: effectively once (in no order";

/// An entry that ends in 0 becomes no result, one that ends in 1 two results, entry 13 an error, and any other one result.
/// `placed` holds further options of source and sink.
fn pipeline(redis: &Redis, placed: &str) -> String {
    format!(
        r#"
        [pipeline]
        delivery = "effectively_once"
        [source.jobs]
        plugin = "redis_stream"
        {placed}
        url = "{url}"
        stream = "jobs"
        group = "workers"
        claim_after = "500ms"
        [filter.shape]
        plugin = "jq"
        query = """
        if . == 13 then error("unlucky") else . end
        | select(. % 10 != 0) | if . % 10 == 1 then ., -. else . end
        """
        [sink.results]
        plugin = "redis"
        {placed}
        url = "{url}"
        command = "rpush"
        key = "results"
        batch = {{ events = 10 }}
        "#,
        url = redis.url(),
    )
}

fn through_libraries(redis: &Redis, isolation: &str) -> String {
    let pipeline = pipeline(redis, &format!("isolation = \"{isolation}\""));
    format!("[plugins]\nlibraries = [{:?}]\n{pipeline}", built_in("redis"))
}

fn add_entries(redis: &Redis, first: usize, last: usize) {
    let add = format!("for n = {first}, {last} do redis.call('XADD', 'jobs', '*', 'event', n) end");
    redis.query(["EVAL", &add, "0"]);
}

/// Expected results of the entries up to number `last`.
fn expected(last: usize) -> Vec<i64> {
    let mut expected: Vec<i64> = Vec::new();
    for number in (1..=last as i64).filter(|number| number % 10 != 0 && *number != 13) {
        expected.push(number);
        expected.extend((number % 10 == 1).then_some(-number));
    }
    expected.sort_unstable();
    expected
}

fn pending(redis: &Redis) -> Option<i64> {
    redis.query(["XPENDING", "jobs", "workers"]).list().first()?.integer()
}

fn written(redis: &Redis) -> usize {
    redis.query(["LLEN", "results"]).integer().unwrap_or_default() as usize
}

/// The results, when no entry is pending.
fn results(redis: &Redis) -> Vec<i64> {
    let all = expected(ENTRIES).len();
    until("everything is there", || written(redis) >= all);
    until("nothing is pending", || pending(redis) == Some(0));
    let found = redis.query(["LRANGE", "results", "0", "-1"]);
    let mut found: Vec<i64> = found.texts().into_iter().map(|text| text.parse().unwrap()).collect();
    found.sort_unstable();
    found
}

#[test]
fn two_processes_share_a_stream_and_each_result_is_written_once() {
    let redis = Redis::start();
    add_entries(&redis, 1, ENTRIES);
    let mut workers: Vec<_> = (0..2).map(|_| Tidegate::pipeline(&pipeline(&redis, "")).start()).collect();
    for worker in &workers {
        worker.wait_for(PROMISE);
    }
    let found = results(&redis);
    for worker in &mut workers {
        worker.signal("TERM");
        worker.end().expect(0);
    }
    assert_eq!(found, expected(ENTRIES));
    let consumers = redis.query(["XINFO", "CONSUMERS", "jobs", "workers"]);
    assert!(consumers.list().is_empty(), "both have left: {consumers:?}");
}

/// Runs the pipeline, and injects `fault` several times, at different parts of the work. Some work always remains, because a
/// dead process is restarted only when it is needed.
fn survives(isolation: &str, times: usize, mut fault: impl FnMut(usize, &mut Running, &str)) {
    let redis = Redis::start();
    let part = ENTRIES / (times + 1);
    add_entries(&redis, 1, part);
    let pipeline = through_libraries(&redis, isolation);
    let mut running = Tidegate::pipeline(&pipeline).start();
    running.wait_for(PROMISE);
    for number in 1..=times {
        let done = part * number;
        add_entries(&redis, done + 1, if number == times { ENTRIES } else { done + part });
        until("another part of the work is done", || written(&redis) >= expected(done).len());
        fault(number, &mut running, &pipeline);
    }
    assert_eq!(results(&redis), expected(ENTRIES), "{isolation}");
    running.signal("TERM");
    running.end().expect(0);
}

fn kill_engine(running: &mut Running, pipeline: &str) {
    running.signal("KILL");
    running.end();
    *running = Tidegate::pipeline(pipeline).start();
    running.wait_for(PROMISE);
}

#[test]
fn results_through_libraries_are_exactly_once_when_the_engine_is_killed() {
    for isolation in ["inline", "process"] {
        survives(isolation, 2, |_, running, pipeline| kill_engine(running, pipeline));
    }
}

#[test]
fn results_are_exactly_once_when_a_plugin_process_is_killed() {
    let mut killed = 0;
    survives("process", 9, |number, running, pipeline| {
        if number == 5 {
            return kill_engine(running, pipeline);
        }
        let mut found = Vec::new();
        until("the processes of the source and of the sink", || {
            found = children(running.id()).into_iter().collect();
            found.len() == 2
        });
        kill(found[number % 2]);
        killed += 1;
    });
    assert_eq!(killed, 8);
}

#[test]
fn libraries_have_the_same_guarantee_unless_the_sink_is_of_another_domain() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("group.toml");
    for (isolation, other, code, printed) in [
        ("process", false, 0, "jobs -> results  effectively once"),
        ("inline", true, 2, "one step needs one place"),
    ] {
        let mut pipeline = through_libraries(&redis, isolation);
        if other {
            let at = pipeline.rfind("key = \"results\"").unwrap();
            pipeline.insert_str(at, "database = 3\n        ");
        }
        std::fs::write(&path, pipeline).unwrap();
        let checked = Tidegate::new(&["check"]).arg(&path).end().expect(code);
        assert!(format!("{}{}", checked.stdout, checked.stderr).contains(printed), "{checked:?}");
    }
}
