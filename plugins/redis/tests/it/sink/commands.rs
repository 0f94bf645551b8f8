use std::collections::HashMap;

use serde_json::json;

use crate::sink::server::{Server, again, open, rejected};
use tidegate_sdk::Class;

#[tokio::test]
async fn xadd_appends_entries_in_order() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "xadd", "key": "s"})).await;
    sink.deliver(["a", "b", "c"]).await;
    let entries: Vec<(String, Vec<(String, String)>)> = server.ask(&["XRANGE", "s", "-", "+"]);
    let values: Vec<_> = entries.into_iter().flat_map(|(_, fields)| fields).collect();
    let expected = ["a", "b", "c"].map(|value| ("event".to_owned(), value.to_owned()));
    assert_eq!(values, expected);
}

#[tokio::test]
async fn xadd_writes_members_as_fields() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "xadd", "key": "s", "as": "fields"})).await;
    let delivery = sink.write([r#"{"name":"Ada \u00e9","age":36,"o":{"x":[1]}}"#, "plain"]).await;
    assert_eq!(rejected(&delivery), [1]);
    let entries: Vec<(String, HashMap<String, String>)> = server.ask(&["XRANGE", "s", "-", "+"]);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].1["name"], "Ada é");
    assert_eq!(entries[0].1["age"], "36");
    assert_eq!(entries[0].1["o"], r#"{"x":[1]}"#);
}

#[tokio::test]
async fn lists_keep_the_order_of_a_large_batch() {
    let server = Server::start(&[]);
    let events: Vec<String> = (0..3000).map(|number| format!("{number:0200}")).collect();
    let mut right = open(&server, json!({"command": "rpush", "key": "r"})).await;
    right.deliver(&events).await;
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "r", "0", "-1"]), events);
    let mut left = open(&server, json!({"command": "lpush", "key": "l"})).await;
    left.deliver(&events).await;
    let backwards: Vec<String> = events.into_iter().rev().collect();
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), backwards);
}

#[tokio::test]
async fn a_batch_of_many_megabytes_goes_through() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "xadd", "key": "s"})).await;
    let big = "x".repeat(700_000);
    sink.deliver([big.as_str(); 7]).await;
    assert_eq!(server.ask::<usize>(&["XLEN", "s"]), 7);
}

#[tokio::test]
async fn publish_without_subscribers_succeeds() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "publish", "key": "c"})).await;
    sink.deliver(["a", "b"]).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut subscriber = connection.as_pubsub();
    subscriber.subscribe("c").unwrap();
    sink.deliver(["heard"]).await;
    assert_eq!(subscriber.get_message().unwrap().get_payload::<String>().unwrap(), "heard");
}

#[tokio::test]
async fn set_replaces_and_lets_expire() {
    let server = Server::start(&[]);
    let mut sink =
        open(&server, json!({"command": "set", "key": "u:{.id}", "ttl": "1h", "value": ".v"})).await;
    sink.deliver([r#"{"id":1,"v":"a"}"#, r#"{"id":2,"v":"b"}"#, r#"{"id":1,"v":"c"}"#]).await;
    assert_eq!(server.ask::<Vec<String>>(&["MGET", "u:1", "u:2"]), ["c", "b"]);
    let left: i64 = server.ask(&["PTTL", "u:1"]);
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
}

#[tokio::test]
async fn hset_merges_members() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "hset", "key": "h:{.id}"})).await;
    sink.deliver([r#"{"id":1,"a":"x","b":2}"#, r#"{"id":1,"b":3}"#, r#"{"id":1,"b":3}"#]).await;
    let hash: HashMap<String, String> = server.ask(&["HGETALL", "h:1"]);
    let expected = [("id", "1"), ("a", "x"), ("b", "3")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(hash, HashMap::from(expected));
}

#[tokio::test]
async fn known_members_of_sets_are_no_error() {
    let server = Server::start(&[]);
    let mut set = open(&server, json!({"command": "sadd", "key": "s"})).await;
    let mut sorted =
        open(&server, json!({"command": "zadd", "key": "z", "score": ".n", "value": ".m"})).await;
    for _ in 0..2 {
        set.deliver(["a", "b", "a"]).await;
        sorted.deliver([r#"{"n":2,"m":"b"}"#, r#"{"n":1.5e0,"m":"a"}"#]).await;
    }
    assert_eq!(server.ask::<usize>(&["SCARD", "s"]), 2);
    let members: Vec<(String, f64)> = server.ask(&["ZRANGE", "z", "0", "-1", "WITHSCORES"]);
    assert_eq!(members, [("a".to_owned(), 1.5), ("b".to_owned(), 2.0)]);
}

#[tokio::test]
async fn maxlen_keeps_the_newest() {
    let server = Server::start(&[]);
    for (command, expected) in [("rpush", ["3", "4"]), ("lpush", ["4", "3"])] {
        let mut sink = open(&server, json!({"command": command, "key": command, "maxlen": 2})).await;
        sink.deliver(["0", "1", "2", "3", "4"]).await;
        assert_eq!(server.ask::<Vec<String>>(&["LRANGE", command, "0", "-1"]), expected);
    }
    let options = json!({"command": "xadd", "key": "s", "maxlen": 2, "maxlen_exact": true});
    open(&server, options).await.deliver(["0", "1", "2"]).await;
    assert_eq!(server.ask::<usize>(&["XLEN", "s"]), 2);
    let mut about = open(&server, json!({"command": "xadd", "key": "a", "maxlen": 10})).await;
    about.deliver((0..1000).map(|number| number.to_string())).await;
    assert!(server.ask::<usize>(&["XLEN", "a"]) < 200);
}

#[tokio::test]
async fn ttl_is_set_on_each_key_that_was_written_to() {
    let server = Server::start(&[]);
    for (command, extra) in
        [("rpush", json!({})), ("sadd", json!({})), ("xadd", json!({})), ("hset", json!({}))]
    {
        let mut options = json!({"command": command, "ttl": "1h"});
        options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        options["key"] = json!(format!("{command}:{{.id}}"));
        open(&server, options).await.deliver([r#"{"id":1}"#, r#"{"id":2}"#]).await;
        for id in 1..=2 {
            let left: i64 = server.ask(&["PTTL", &format!("{command}:{id}")]);
            assert!(left > 3_500_000, "{command} {id}: {left}");
        }
    }
}

#[tokio::test]
async fn ttl_is_set_once_for_each_write_to_a_key() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l:{.k}", "ttl": "1h"})).await;
    sink.deliver([r#"{"k":1}"#, r#"{"k":1}"#]).await;
    sink.deliver([r#"{"k":2}"#]).await;
    let calls: String = server.ask(&["INFO", "commandstats"]);
    assert!(calls.contains("cmdstat_pexpire:calls=2,"), "{calls}");
}

#[tokio::test]
async fn ttl_never_touches_a_key_that_refused_the_write() {
    let server = Server::start(&[]);
    server.ask::<()>(&["SET", "k:1", "somebody else's"]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "k:{.id}", "ttl": "1h"})).await;
    let delivery = sink.write([r#"{"id":1}"#, r#"{"id":2}"#]).await;
    assert_eq!(rejected(&delivery), [0]);
    assert_eq!(server.ask::<i64>(&["PTTL", "k:1"]), -1);
    assert!(server.ask::<i64>(&["PTTL", "k:2"]) > 0);
}

#[tokio::test]
async fn a_ttl_that_may_not_be_set_is_reported_without_writing_twice() {
    let server = Server::start(&[]);
    server.ask::<()>(&["ACL", "SETUSER", "w", "on", ">pw", "~*", "+rpush", "+ping"]);
    let options = json!({"command": "rpush", "key": "l", "ttl": "1h", "user": "w", "password": "pw"});
    let mut sink = open(&server, options).await;
    sink.deliver(["a"]).await;
    let error = sink.try_write(&tidegate_testkit::batch(["b"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["a"]);
    server.ask::<()>(&["ACL", "SETUSER", "w", "+pexpire"]);
    sink.deliver(["b"]).await;
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["a", "b"]);
    assert!(server.ask::<i64>(&["PTTL", "l"]) > 0);
}

#[tokio::test]
async fn a_deep_key_makes_the_sink_busy_until_it_is_read() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l", "depth_limit": 3})).await;
    server.ask::<()>(&["RPUSH", "l", "1", "2", "3"]);
    let error = sink.try_write(&tidegate_testkit::batch(["4"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Busy);
    assert_eq!(error.message(), "`l` holds 3 entries and `depth_limit` is 3");
    assert!(error.retry_after().is_some());
    server.ask::<()>(&["LPOP", "l"]);
    sink.deliver(["4"]).await;
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), ["2", "3", "4"]);
}

#[tokio::test]
async fn a_fork_writes_through_its_own_connection() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    let mut fork = sink.sink.fork().expect("the sink can be forked");
    fork.open(&sink.cx).await.unwrap();
    let clients: String = server.ask(&["CLIENT", "LIST"]);
    assert_eq!(clients.matches("name=tidegate").count(), 2, "{clients}");
    let delivery = fork.write(&tidegate_testkit::batch(["a"]), &sink.cx).await.unwrap();
    assert!(delivery.to_retry().is_none());
    fork.close(&sink.cx).await.unwrap();
    sink.sink.close(&sink.cx).await.unwrap();
    crate::sink::server::wait_until("the connections to end", || {
        !server.ask::<String>(&["CLIENT", "LIST"]).contains("name=tidegate")
    });
}

#[tokio::test]
async fn an_empty_batch_is_delivered() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    sink.deliver(Vec::<String>::new()).await;
    let delivery = sink.write([""]).await;
    assert!(delivery.to_retry().is_none(), "{:?}", again(&delivery));
    assert_eq!(server.ask::<Vec<String>>(&["LRANGE", "l", "0", "-1"]), [""]);
}
