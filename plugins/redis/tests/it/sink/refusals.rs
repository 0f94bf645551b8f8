use serde_json::json;
use tidegate_sdk::Class;

use crate::sink::server::{Opened, Server, again, open, rejected};

#[tokio::test]
async fn a_literal_key_of_another_type_is_misconfigured() {
    let server = Server::start(&[]);
    server.ask::<()>(&["SET", "l", "text"]);
    let mut sink = open(&server, json!({"command": "rpush", "key": "l"})).await;
    let (events, class, message) = again(&sink.write(["a", "b"]).await);
    assert_eq!((events, class), (vec![0, 1], Class::Misconfigured));
    assert!(message.contains("WRONGTYPE"), "{message}");
    server.ask::<()>(&["DEL", "l"]);
    sink.deliver(["a", "b"]).await;
}

#[tokio::test]
async fn a_key_from_data_of_another_type_rejects_its_events_alone() {
    let server = Server::start(&[]);
    server.ask::<()>(&["SET", "l:2", "text"]);
    for command in ["rpush", "xadd"] {
        let mut sink = open(&server, json!({"command": command, "key": "l:{.k}"})).await;
        let delivery = sink.write([r#"{"k":2}"#, r#"{"k":1}"#, r#"{"k":2,"x":1}"#]).await;
        assert_eq!(rejected(&delivery), [0, 2]);
        assert!(delivery.rejected()[0].reason.contains("WRONGTYPE"), "{delivery:?}");
        assert!(delivery.to_retry().is_none(), "{delivery:?}");
        server.ask::<()>(&["DEL", "l:1"]);
    }
}

#[tokio::test]
async fn a_wrong_password_is_misconfigured_and_not_shown() {
    let server = Server::start(&["--requirepass", "right-horse"]);
    for options in [
        json!({"url": server.url(), "password": "wrong-horse"}),
        json!({"url": format!("redis://:wrong-horse@127.0.0.1:{}", server.port)}),
        json!({"url": server.url()}),
    ] {
        let mut options = options;
        options["command"] = json!("rpush");
        options["key"] = json!("l");
        let error = Opened::new(&options).open().await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured, "{error}");
        assert!(!error.message().contains("horse"), "{error}");
    }
    let url = format!("redis://:right-horse@127.0.0.1:{}", server.port);
    open(&server, json!({"url": url, "command": "rpush", "key": "l"})).await.deliver(["a"]).await;
}

#[tokio::test]
async fn a_user_needs_the_right_to_the_command_and_to_the_key() {
    let server = Server::start(&[]);
    server.ask::<()>(&["ACL", "SETUSER", "w", "on", ">pw", "~mine:*", "+rpush"]);
    let options =
        |command: &str, key: &str| json!({"command": command, "key": key, "user": "w", "password": "pw"});
    let mut allowed = open(&server, options("rpush", "mine:{.k}")).await;
    allowed.deliver([r#"{"k":1}"#]).await;
    for literal in [options("lpush", "mine:1"), options("lpush", "mine:{.k}"), options("rpush", "other")] {
        let mut sink = open(&server, literal.clone()).await;
        let (events, class, message) = again(&sink.write([r#"{"k":1}"#]).await);
        assert_eq!((events, class), (vec![0], Class::Misconfigured), "{literal}: {message}");
        assert!(message.contains("NOPERM"), "{message}");
    }
    let mut by_data = open(&server, options("rpush", "m{.k}")).await;
    let delivery = by_data.write([r#"{"k":"ine:2"}"#, r#"{"k":"y"}"#]).await;
    assert_eq!(rejected(&delivery), [1]);
    assert_eq!(server.ask::<usize>(&["LLEN", "mine:2"]), 1);
}

#[tokio::test]
async fn a_server_without_memory_is_tried_again() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let mut sink = open(&server, json!({"command": "xadd", "key": "s"})).await;
    sink.deliver(["a"]).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let batch = tidegate_testkit::batch(["b", "c"]);
    let (events, class, message) = again(&sink.try_write(&batch).await.unwrap());
    assert_eq!((events, class), (vec![0, 1], Class::Retry));
    assert!(message.contains("OOM"), "{message}");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    sink.deliver_in_the_end(&batch).await;
    assert_eq!(server.ask::<usize>(&["XLEN", "s"]), 3);
}

#[tokio::test]
async fn a_replica_and_missing_replicas_are_tried_again() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "set", "key": "k"})).await;
    server.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(again(&sink.write(["a"]).await).1, Class::Retry);
    server.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let (_, class, message) = again(&sink.write(["a"]).await);
    assert_eq!(class, Class::Retry, "{message}");
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    sink.deliver(["a"]).await;
}

#[tokio::test]
async fn a_score_that_is_none_is_rejected_alone() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "zadd", "key": "z", "score": ".s", "value": ".m"})).await;
    let delivery = sink.write([r#"{"s":1,"m":"a"}"#, r#"{"s":"x","m":"b"}"#, r#"{"s":2,"m":"c"}"#]).await;
    assert_eq!(rejected(&delivery), [1]);
    assert_eq!(server.ask::<usize>(&["ZCARD", "z"]), 2);
}

#[tokio::test]
async fn later_writes_do_not_overtake_a_retried_one() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "xadd", "key": "s"})).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let big = "x".repeat(700_000);
    let (events, class, _) = again(&sink.write([big.as_str(); 4]).await);
    assert_eq!((events, class), (vec![0, 1, 2, 3], Class::Retry));
    let errors: String = server.ask(&["INFO", "errorstats"]);
    assert!(errors.contains("errorstat_OOM:count=1"), "each of these is an exchange of its own: {errors}");
}

/// A command with more arguments than the protocol allows would cost the connection, again and again.
#[tokio::test]
async fn event_with_too_many_fields_is_rejected_and_the_others_are_written() {
    let server = Server::start(&[]);
    let mut sink = open(&server, json!({"command": "hset", "key": "h"})).await;
    let members: Vec<String> = (0..500_001).map(|number| format!("\"{number:x}\":0")).collect();
    let huge = format!("{{{}}}", members.join(","));
    let delivery = sink.write([r#"{"a":1}"#, &huge, r#"{"b":2}"#]).await;
    assert!(delivery.to_retry().is_none(), "{:?}", delivery.to_retry());
    let rejected: Vec<_> = delivery.rejected().iter().map(|one| one.event).collect();
    assert_eq!(rejected, [1]);
    assert!(delivery.rejected()[0].reason.contains("500001 fields"), "{}", delivery.rejected()[0].reason);
    assert_eq!(server.ask::<usize>(&["HLEN", "h"]), 2);
}
