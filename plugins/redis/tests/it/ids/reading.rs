use serde_json::json;
use tidegate_sdk::{AttributeValue, Class, Replay};
use tidegate_servers::redis::Redis;

use crate::ids::run::{Run, add, numbers, options};

#[tokio::test]
async fn entries_come_in_order_and_a_run_resumes_after_the_last() {
    let redis = Redis::start();
    add(&redis, 0, 100);
    let mut run = Run::new(&options(&redis), None).await;
    assert_eq!(run.source.replay(), Replay::Position);
    assert!(run.source.covers("s") && !run.source.covers("other"));
    assert_eq!(run.texts(100).await, numbers(0..100));
    add(&redis, 100, 103);
    assert_eq!(run.texts(3).await, numbers(100..103), "new entries are waited for");
    let position = run.position.clone();
    run.close().await;
    add(&redis, 103, 105);
    let mut run = Run::new(&options(&redis), position).await;
    assert_eq!(run.texts(2).await, numbers(103..105));
    assert_eq!(run.replaced, 0);
    run.close().await;
}

#[tokio::test]
async fn start_is_the_first_entry_the_next_one_or_the_one_after_an_id() {
    let redis = Redis::start();
    add(&redis, 0, 5);
    let mut after = options(&redis);
    after["start"] = json!("3-0");
    assert_eq!(Run::new(&after, None).await.texts(2).await, numbers(3..5));
    let mut next = options(&redis);
    next["start"] = json!("$");
    let mut run = Run::new(&next, None).await;
    // The position is known before the first entry comes, so that nothing is missed while the pipeline is down.
    let mark = run.source.next(&run.cx).await.unwrap().unwrap();
    assert!(mark.batch.is_empty());
    let position = mark.batch.runs()[0].origin.position.clone();
    add(&redis, 5, 7);
    assert_eq!(run.texts(2).await, numbers(5..7));
    assert_eq!(Run::new(&next, position).await.texts(2).await, numbers(5..7));
}

#[tokio::test]
async fn stream_that_does_not_exist_yet_is_waited_for() {
    let redis = Redis::start();
    for start in ["0", "$"] {
        let mut options = options(&redis);
        options["start"] = json!(start);
        let mut run = Run::new(&options, None).await;
        add(&redis, 0, 2);
        assert_eq!(run.texts(2).await, numbers(0..2));
        assert_eq!(run.replaced, 0);
        redis.query(["DEL", "s"]);
    }
}

#[tokio::test]
async fn events_have_the_id_of_their_entry_and_no_deliveries() {
    let redis = Redis::start();
    redis.query(["XADD", "s", "7-3", "name", "a \"b\"", "n", "1", "name", "é"]);
    let mut fields = options(&redis);
    fields["as"] = json!("fields");
    let batch = Run::new(&fields, None).await.next().await.batch;
    assert_eq!(batch.attribute(0, "id"), Some(&AttributeValue::from("7-3")));
    assert_eq!(batch.attribute(0, "stream"), Some(&AttributeValue::from("s")));
    assert_eq!(batch.attribute(0, "deliveries"), None);
    assert_eq!(batch.texts(), [r#"{"name":["a \"b\"","é"],"n":"1"}"#]);
    let rejected = Run::new(&options(&redis), None).await.next().await.rejected;
    assert!(rejected[0].reason.contains("no field `event` (entry 7-3 of `s`)"), "{}", rejected[0].reason);
}

#[tokio::test]
async fn large_entries_are_read_few_at_a_time() {
    let redis = Redis::start();
    let large = "x".repeat(3 << 20);
    for _ in 0..30 {
        redis.query(["XADD", "s", "*", "event", &large]);
    }
    redis.query(["XADD", "s", "*", "event", "last"]);
    let mut run = Run::new(&options(&redis), None).await;
    let texts = run.texts(31).await;
    assert!(texts[..30].iter().all(|text| text.len() == large.len()));
    assert_eq!((texts[30].as_str(), run.replaced), ("last", 0));
}

#[tokio::test]
async fn key_that_is_no_stream_is_misconfigured() {
    let redis = Redis::start();
    redis.query(["SET", "s", "mine"]);
    let error = Run::open(&options(&redis), None).await.err().unwrap();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("`s` cannot be read"), "{error}");
    // The same while it runs.
    redis.query(["DEL", "s"]);
    let mut run = Run::new(&options(&redis), None).await;
    redis.query(["SET", "s", "mine"]);
    let error = loop {
        if let Err(error) = run.source.next(&run.cx).await {
            break error;
        }
    };
    assert!(error.message().contains("WRONGTYPE"), "{error}");
    redis.query(["DEL", "s"]);
    add(&redis, 0, 1);
    assert_eq!(run.texts(1).await, ["0"]);
}

#[tokio::test]
async fn user_without_the_right_to_xinfo_reads_from_the_start_and_not_from_now_on() {
    let redis = Redis::start();
    redis.query(["ACL", "SETUSER", "u", "on", ">p", "~*", "+xread", "+ping", "+client"]);
    add(&redis, 0, 2);
    let mut limited = options(&redis);
    (limited["user"], limited["password"]) = (json!("u"), json!("p"));
    let mut run = Run::new(&limited, None).await;
    assert_eq!(run.texts(2).await, numbers(0..2));
    let position = run.position.clone();
    add(&redis, 2, 3);
    assert_eq!(Run::new(&limited, position).await.texts(1).await, ["2"]);
    limited["start"] = json!("$");
    let error = Run::open(&limited, None).await.err().unwrap();
    assert!(error.message().contains("newest id") && error.message().contains("NOPERM"), "{error}");
}

#[test]
fn options_of_a_group_need_one() {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    let base = json!({"url": "redis://h", "stream": "s"});
    assert!(plugin.build(&base).is_ok());
    for (name, value) in [
        ("consumer", json!("c")),
        ("claim_after", json!("1m")),
        ("max_deliveries", json!(3)),
        ("ack_after", json!("1s")),
    ] {
        let mut options = base.clone();
        options[name] = value;
        let error = plugin.build(&options).err().unwrap().to_string();
        assert!(error.contains(&format!("`{name}` needs a `group`")), "{error}");
    }
    for start in ["1", "-", "now", "5-x", ">"] {
        let mut options = base.clone();
        options["start"] = json!(start);
        assert!(plugin.build(&options).is_err(), "{start}");
    }
}

#[tokio::test]
async fn source_keeps_to_the_contract() {
    let redis = Redis::start();
    add(&redis, 0, 5_000);
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis_stream");
    tidegate_testkit::conformance::source(&plugin, &options(&redis), 5_000).await;
}
