//! Tests of the source with a real server.

mod cursor;
mod cuts;
mod hostile;
mod leads;
mod pages;
mod settings;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_sdk::{AttributeValue, Batch, Class, Error, Position, Source};
use tidegate_testkit::{build_source, context, read_all};
use tokio::io::AsyncWriteExt;

use super::plugin;
use crate::client::test_server::{ReceivedRequest, Reply, Server, gzip, ok, status, with_options};

/// Returns a source with these options, a URL, one poll and a short interval.
fn source(url: &str, options: Value) -> Box<dyn Source> {
    let all = with_options(json!({ "url": url, "times": 1, "interval": "1ms" }), options);
    build_source(&plugin(), &all)
}

async fn read(server: &Server, path: &str, options: Value) -> (Vec<String>, Vec<String>) {
    read_all(&mut *source(&format!("{}{path}", server.url), options)).await.unwrap()
}

async fn failure(server: &Server, options: Value) -> Error {
    read_all(&mut *source(&server.url, options)).await.unwrap_err()
}

/// Returns the query parameter `name` of a request.
fn parameter(request: &ReceivedRequest, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://h{}", request.target)).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn elements_of_an_array_become_events_with_attributes() {
    let server = Server::start(|_| ok(r#" [ {"id": 1}, 2.50 , "x" ] "#)).await;
    let mut source = source(&format!("{}/users?key=secret", server.url), json!({}));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    let batch = source.next(&cx).await.unwrap().unwrap().batch;
    assert_eq!(batch.texts(), [r#"{"id": 1}"#, "2.50", r#""x""#]);
    assert_eq!(batch.attribute(2, "url"), Some(&AttributeValue::Text(format!("{}/users", server.url))));
    assert_eq!(batch.attribute(0, "status"), Some(&AttributeValue::Integer(200)));
    assert_eq!(batch.attribute(0, "page"), Some(&AttributeValue::Integer(1)));
    assert!(source.next(&cx).await.unwrap().is_none(), "one poll was asked for");
    assert_eq!(cx.progress().get(), Some((1, 1)));
}

#[tokio::test]
async fn every_shape_of_answer_is_understood() {
    let cases: [(&str, Value, &[&str]); 11] = [
        (r#"{"a": 1}"#, json!({}), &[r#"{"a": 1}"#]),
        ("", json!({}), &[]),
        ("null", json!({}), &[]),
        ("[]", json!({}), &[]),
        ("\u{feff}[1]", json!({}), &["1"]),
        (r#"{"data": {"users": [1, 2]}}"#, json!({ "items": ".data.users" }), &["1", "2"]),
        (r#"{"data": null}"#, json!({ "items": ".data" }), &[]),
        ("[{\n  \"a\": \"x y\"\n}]", json!({}), &[r#"{"a":"x y"}"#]),
        ("{\"a\":1}\r\n\n[2]\n", json!({ "decode": "json_lines" }), &[r#"{"a":1}"#, "[2]"]),
        ("one\ntwo", json!({ "decode": "lines" }), &["one", "two"]),
        ("one\ntwo\n", json!({ "decode": "text" }), &["one\ntwo\n"]),
    ];
    for (body, options, expected) in cases {
        let server = Server::start(move |_| ok(body)).await;
        let (texts, refused) = read(&server, "/", options).await;
        assert_eq!(texts, expected, "{body}");
        assert!(refused.is_empty(), "{body}: {refused:?}");
    }
}

#[tokio::test]
async fn any_2xx_is_a_success() {
    for (code, body, expected) in [(204, "", 0), (201, "[1]", 1), (206, "[1,2]", 2)] {
        let server = Server::start(move |_| status(code, body)).await;
        assert_eq!(read(&server, "/", json!({})).await.0.len(), expected, "{code}");
    }
}

#[tokio::test]
async fn a_request_carries_method_headers_query_and_body() {
    let server = Server::start(|_| ok("[]")).await;
    let options = json!({
        "method": "POST", "body": r#"{"query":"{users}"}"#, "headers": { "X-Api-Key": "k" },
        "query": { "limit": 100, "all": true, "q": "a b" }, "auth": { "basic": { "user": "me", "password": "pw" } },
    });
    read(&server, "/users?x=1", options).await;
    let request = &server.received()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/users?x=1&all=true&limit=100&q=a+b")
    );
    assert_eq!(request.text(), r#"{"query":"{users}"}"#);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-api-key"), Some("k"));
    assert_eq!(request.header("authorization"), Some("Basic bWU6cHc="));
    assert!(request.header("user-agent").unwrap().starts_with("tidegate/"));
}

#[tokio::test]
async fn the_connection_is_kept_over_polls() {
    let server = Server::start(|_| ok("[1]")).await;
    assert_eq!(read(&server, "/", json!({ "times": 3 })).await.0, ["1", "1", "1"]);
    assert!(server.received().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn errors_say_what_is_to_be_done() {
    let classes = [
        (408, Class::Retry),
        (425, Class::Retry),
        (429, Class::Retry),
        (500, Class::Retry),
        (503, Class::Retry),
        (302, Class::Misconfigured),
        (400, Class::Misconfigured),
        (401, Class::Misconfigured),
        (403, Class::Misconfigured),
        (404, Class::Misconfigured),
        (422, Class::Misconfigured),
    ];
    for (code, class) in classes {
        let server = Server::start(move |_| status(code, "{\n\"error\": \"words\"}")).await;
        let error = failure(&server, json!({ "query": { "token": "hush" } })).await;
        assert_eq!(error.class(), class, "{code}: {error}");
        assert!(
            error.message().contains(&code.to_string()) && error.message().contains(&server.url),
            "{error}"
        );
        assert!(!error.message().contains("hush"), "{error}");
        assert!(code == 302 || error.message().contains(r#"{ "error": "words"}"#), "{error}");
    }
    let closed = "http://127.0.0.1:1/";
    let error = read_all(&mut *source(closed, json!({}))).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains("no connection"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_mistake_in_the_configuration() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut source = source(&url, json!({}));
    let (result, ()) = tokio::join!(read_all(&mut *source), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = result.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
    assert!(error.message().contains("no secure connection"), "{error}");
}

#[tokio::test]
async fn the_time_limit_holds_for_the_whole_exchange() {
    let server = Server::start(|_| Reply::Silence).await;
    let error = failure(&server, json!({ "time_limit": "50ms" })).await;
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains("time limit of 50ms"), "{error}");
}

#[tokio::test]
async fn a_drain_ends_an_exchange_and_a_pause_at_once() {
    let server = Server::start(|_| Reply::Silence).await;
    let mut waiting = source(&server.url, json!({ "time_limit": "1h" }));
    let (cx, stopping) = context();
    waiting.open(&cx).await.unwrap();
    let (next, ()) = tokio::join!(waiting.next(&cx), async {
        server.came().await;
        stopping.cancel();
    });
    assert!(next.unwrap().is_none());

    let server = Server::start(|_| ok("[1]")).await;
    let mut pausing = source(&server.url, json!({ "interval": "1h", "times": 2 }));
    let (cx, stopping) = context();
    pausing.open(&cx).await.unwrap();
    assert!(pausing.next(&cx).await.unwrap().is_some());
    let (next, ()) = tokio::join!(pausing.next(&cx), async { stopping.cancel() });
    assert!(next.unwrap().is_none());
    assert_eq!(server.targets().len(), 1);
}

#[tokio::test]
async fn a_cron_schedule_polls() {
    let server = Server::start(|_| ok("[1]")).await;
    let options =
        json!({ "url": server.url, "times": 1, "schedule": "* * * * * *", "time_zone": "Europe/Berlin" });
    let (texts, _) = read_all(&mut *build_source(&plugin(), &options)).await.unwrap();
    assert_eq!(texts, ["1"]);
}

#[tokio::test]
async fn bodies_have_a_limit_before_and_after_inflation() {
    let long = format!("[{}1]", "1,".repeat(5000));
    let packed = gzip(long.as_bytes());
    let (size, full) = (packed.len(), long.clone());
    let server = Server::start(move |request| {
        assert_eq!(request.header("accept-encoding"), Some(crate::coding::ACCEPTED));
        match request.target.as_str() {
            "/plain" => ok(full.clone()),
            "/broken" => ok(&packed[..size / 2]).with("content-encoding", "gzip"),
            _ => ok(packed.clone()).with("content-encoding", "gzip"),
        }
    })
    .await;
    assert_eq!(read(&server, "/packed", json!({})).await.0.len(), 5001);
    for (path, limits, words) in [
        ("/plain", json!({ "body_size": "5000B" }), "over `body_size` (4.9KiB)"),
        ("/plain", json!({ "inflated_size": "9000B" }), "over `inflated_size` (8.8KiB)"),
        ("/packed", json!({ "inflated_size": "9000B" }), "over `inflated_size` (8.8KiB)"),
        ("/packed", json!({ "body_size": "20B" }), "over `body_size` (20B)"),
        ("/broken", json!({}), "gzip"),
    ] {
        let (texts, refused) = read(&server, path, limits).await;
        assert_eq!((texts.len(), refused.len()), (0, 1), "{path} {words}");
        assert!(refused[0].contains(words), "{refused:?}");
    }
    assert_eq!(read(&server, "/packed", json!({ "body_size": format!("{size}B") })).await.0.len(), 5001);
}

#[tokio::test]
async fn unreadable_responses_are_rejected_and_polling_goes_on() {
    let mut responses = vec![ok("[5]"), ok(r#"{"other": 1}"#), ok(r#"{"data": [1, "#), ok("<html>")];
    let server = Server::start(move |_| responses.pop().unwrap_or_else(|| ok(r#"{"data": [7]}"#))).await;
    let (texts, refused) = read(&server, "/", json!({ "items": ".data", "times": 5 })).await;
    assert_eq!(texts, ["7"]);
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert!(refused[0].contains("malformed JSON") && refused[1].contains("malformed JSON"), "{refused:?}");
    assert!(refused[2].contains("has no `.data`"), "{refused:?}");

    let lines = Server::start(|_| ok("1\n{\"a\n2")).await;
    let (texts, refused) = read(&lines, "/", json!({ "decode": "json_lines" })).await;
    assert_eq!((texts.as_slice(), refused.len()), (&["1".to_owned(), "2".to_owned()][..], 1));
}

#[tokio::test]
async fn an_event_over_the_limit_is_refused_alone() {
    let server = Server::start(|_| ok(format!(r#"[1, "{}", 3]"#, "x".repeat(50)))).await;
    let mut source = source(&server.url, json!({}));
    let (cx, _stopping) = context();
    let cx = cx.with_event_size(tidegate_sdk::Size(20));
    source.open(&cx).await.unwrap();
    let next = source.next(&cx).await.unwrap().unwrap();
    assert_eq!(next.batch.texts(), ["1", "3"]);
    assert_eq!(next.rejected[0].length, 52);
}

#[tokio::test]
async fn an_unchanged_answer_makes_no_events() {
    let mut number = 0;
    let server = Server::start(move |request| {
        number += 1;
        match request.header("if-none-match") {
            Some("\"v1\"") if number < 4 => status(304, ""),
            _ => ok("[1]").with("etag", "\"v1\"").with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        }
    })
    .await;
    assert_eq!(read(&server, "/", json!({ "times": 4 })).await.0, ["1", "1"], "the first and the fourth");
    assert_eq!(server.received()[1].header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let before = server.received().len();
    read(&server, "/", json!({ "times": 2, "conditional": false })).await;
    assert!(server.received()[before..].iter().all(|request| request.header("if-none-match").is_none()));
}

#[tokio::test]
async fn repeated_events_are_dropped() {
    let mut responses =
        vec![r#"[{"id":2,"x":9},{"id":3},{"no":1}]"#, r#"[{"id":1},{"id":2},{"id":1},{"no":1}]"#];
    let server = Server::start(move |_| ok(responses.pop().unwrap())).await;
    let (texts, _) = read(&server, "/", json!({ "times": 2, "unique": ".id" })).await;
    assert_eq!(texts, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"no":1}"#, r#"{"id":3}"#, r#"{"no":1}"#]);
}

#[tokio::test]
async fn a_very_large_answer_is_read_whole_and_remembered() {
    let body =
        format!("[{}]", (0..60_000).map(|id| format!(r#"{{"id":{id}}}"#)).collect::<Vec<_>>().join(","));
    assert!(body.len() > super::LARGE);
    let server = Server::start(move |_| ok(body.clone())).await;
    let (texts, _) = read(&server, "/", json!({ "times": 2, "unique": ".id" })).await;
    assert_eq!(texts.len(), 60_000, "the second poll brings nothing new");
    assert_eq!(texts[59_999], r#"{"id":59999}"#);
}
