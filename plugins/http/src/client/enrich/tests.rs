//! Tests of the filter with a real server.

use serde_json::{Value, json};
use tidegate_sdk::{AsyncFilter, Attempt, AttributeValue, Batch, Class, Error, Output};
use tidegate_testkit::{batch, build_async_filter, context};

use super::plugin;
use crate::client::test_server::{Reply, Server, ok, status, with_options};

type Filtered = (Vec<String>, Vec<(usize, String)>);

fn filter(url: &str, options: Value) -> Box<dyn AsyncFilter> {
    let all = with_options(json!({ "url": url }), options);
    build_async_filter(&plugin(), &all)
}

async fn process(filter: &mut dyn AsyncFilter, batch: &Batch) -> Result<Filtered, Error> {
    let (cx, _stopping) = context();
    filter.open(&cx).await?;
    let mut out = Output::new(batch);
    filter.process(batch, &mut out, &cx).await?;
    let (emitted, rejected) = out.take();
    let texts = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
    Ok((texts, rejected.into_iter().map(|one| (one.event, one.reason)).collect()))
}

/// Returns the outputs for `payload` if the server sends `response`.
async fn answered(payload: &str, response: &'static str, options: Value) -> Filtered {
    let server = Server::start(move |_| ok(response)).await;
    process(&mut *filter(&server.url, options), &batch([payload])).await.unwrap()
}

#[tokio::test]
async fn the_answer_goes_where_it_is_asked_to() {
    let cases: [(Value, &str, &[&str]); 15] = [
        (json!({ "replace": true }), "\u{feff}[\n1]", &["[1]"]),
        (json!({ "into": "u" }), "\u{feff}1.50\n", &[r#"{"id":7,"a":[1],"u":1.50}"#]),
        (json!({ "replace": true, "decode": "text" }), "\u{feff}x", &["x"]),
        (json!({ "into": "user" }), r#"{"n": 1.50}"#, &[r#"{"id":7,"a":[1],"user":{"n": 1.50}}"#]),
        (json!({ "into": "a" }), "2", &[r#"{"id":7,"a":2}"#]),
        (json!({ "into": "u", "items": ".x" }), r#"{"x": "y"}"#, &[r#"{"id":7,"a":[1],"u":"y"}"#]),
        (json!({ "into": "u" }), "{\n\"b\": 1}", &[r#"{"id":7,"a":[1],"u":{"b":1}}"#]),
        (json!({ "into": "u" }), "", &[r#"{"id":7,"a":[1],"u":null}"#]),
        (json!({ "into": "u", "decode": "text" }), "a\n\"", &[r#"{"id":7,"a":[1],"u":"a\n\""}"#]),
        (json!({ "merge": true }), r#"{"b":2,"id":8}"#, &[r#"{"id":8,"a":[1],"b":2}"#]),
        (json!({ "replace": true }), " [1, 2] ", &["[1, 2]"]),
        (json!({ "replace": true, "split": true }), "[1, {}]", &["1", "{}"]),
        (json!({ "replace": true, "split": true, "items": ".x" }), r#"{"x":[3]}"#, &["3"]),
        (json!({ "replace": true, "decode": "text" }), "<p>", &["<p>"]),
        (json!({ "replace": true }), "", &[]),
    ];
    for (options, response, expected) in cases {
        let (texts, rejected) = answered(r#"{"id":7,"a":[1]}"#, response, options.clone()).await;
        assert_eq!(texts, expected, "{options} {response}");
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}

#[tokio::test]
async fn events_that_do_not_fit_are_rejected_with_the_reason() {
    for (payload, response, options, words) in [
        ("{}", "<html>", json!({ "into": "u" }), "malformed JSON"),
        ("{}", "[1]", json!({ "merge": true }), "not a JSON object"),
        ("[1]", "1", json!({ "into": "u" }), "not a JSON object"),
        ("{}", "{}", json!({ "into": "u", "items": ".x" }), "no `.x`"),
        ("{}", "[1,]", json!({ "replace": true, "split": true }), "malformed JSON at byte 3"),
        ("{}", r#"["\ud800"]"#, json!({ "replace": true }), "half of a surrogate pair"),
        (r#"{"\ud800":1}"#, "1", json!({ "into": "u" }), "half of a surrogate pair"),
        ("{}", "123456789", json!({ "replace": true, "body_size": "8B" }), "body_size"),
    ] {
        let (texts, rejected) = answered(payload, response, options).await;
        assert!(texts.is_empty());
        assert!(rejected[0].1.contains(words), "{rejected:?}");
    }
}

#[tokio::test]
async fn the_question_is_made_of_the_event() {
    let server = Server::start(|request| ok(format!(r#"{{"request":"{}"}}"#, request.target))).await;
    let url = format!("{}/users/{{.id}}?name={{.name}}", server.url);
    let mut by_url = filter(&url, json!({ "replace": true, "query": { "key": "k" } }));
    let events = batch([r#"{"id":7,"name":"a b/c"}"#, r#"{"id":8}"#, "x", r#"{"id":"..","name":"n"}"#]);
    let (texts, rejected) = process(&mut *by_url, &events).await.unwrap();
    assert_eq!(texts, [r#"{"request":"/users/7?name=a%20b%2Fc&key=k"}"#]);
    assert_eq!(rejected.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rejected[2].1.contains("change the path"), "{rejected:?}");

    let mut by_body = filter(&format!("{}/ask", server.url), json!({ "replace": true, "body": "event" }));
    process(&mut *by_body, &batch([r#"{"q":1}"#])).await.unwrap();
    let request = server.received().pop().unwrap();
    assert_eq!((request.method.as_str(), request.text().as_str()), ("POST", r#"{"q":1}"#));
    assert_eq!(request.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn missing_answers_pass_or_are_rejected() {
    let server = Server::start(|request| match request.target.as_str() {
        "/1" => ok("{}"),
        "/2" => status(404, "missing"),
        _ => status(422, "odd id"),
    })
    .await;
    let events = batch([r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]);
    let url = format!("{}/{{.id}}", server.url);
    let mut passing = filter(&url, json!({ "into": "u", "missing": "pass" }));
    let (texts, rejected) = process(&mut *passing, &events).await.unwrap();
    assert_eq!(texts, [r#"{"id":1,"u":{}}"#, r#"{"id":2}"#]);
    assert!(rejected[0].0 == 2 && rejected[0].1.contains("odd id"), "{rejected:?}");
    let mut rejecting = filter(&url, json!({ "into": "u" }));
    let (texts, rejected) = process(&mut *rejecting, &events).await.unwrap();
    assert_eq!((texts.len(), rejected.len()), (1, 2));
    assert!(rejected[0].1.contains("404"), "{rejected:?}");
}

#[tokio::test]
async fn several_are_asked_at_once_and_the_order_is_kept() {
    // The server responds to the first request only after the third has arrived.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(3));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{{.id}}", listener.local_addr().unwrap());
    let tasks = tidegate_sdk::Tasks::new();
    drop(tasks.clone().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let barrier = std::sync::Arc::clone(&barrier);
            drop(tasks.spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut head = [0; 4096];
                let length = stream.read(&mut head).await.unwrap();
                barrier.wait().await;
                let id = String::from_utf8_lossy(&head[..length])[5..6].to_owned();
                let response =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n{id}");
                stream.write_all(response.as_bytes()).await.unwrap();
            }));
        }
    }));
    let mut three = filter(&url, json!({ "replace": true, "parallel": 3 }));
    let events = batch((0..6).map(|id| format!(r#"{{"id":{id}}}"#)));
    assert_eq!(process(&mut *three, &events).await.unwrap().0, ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_retry_asks_only_what_is_not_known_yet() {
    let mut failed = 0;
    let server = Server::start(move |request| match request.target.as_str() {
        "/3" if failed < 2 => {
            failed += 1;
            if failed == 1 { status(503, "").with("retry-after", "3") } else { Reply::HangUp }
        }
        target => ok(target[1..].to_owned()),
    })
    .await;
    let mut asking = filter(&format!("{}/{{.id}}", server.url), json!({ "replace": true, "parallel": 1 }));
    let events = batch((1..=4).map(|id| format!(r#"{{"id":{id}}}"#)));
    let error = process(&mut *asking, &events).await.unwrap_err();
    assert_eq!((error.class(), error.retry_after().unwrap().as_secs()), (Class::Retry, 3));
    assert_eq!(process(&mut *asking, &events).await.unwrap_err().class(), Class::Retry);
    assert_eq!(process(&mut *asking, &events).await.unwrap().0, ["1", "2", "3", "4"]);
    let targets = ["/1", "/2", "/3", "/4", "/3", "/3"];
    assert_eq!(
        server.targets(),
        targets,
        "a pause is kept; then the events that were not asked about come first"
    );
    // The kept results belong to that batch alone.
    assert_eq!(process(&mut *asking, &batch([r#"{"id":1}"#])).await.unwrap().0, ["1"]);
    assert_eq!(server.targets().len(), 7);
}

/// Calls the filter with one batch until it succeeds, as the engine does for `attempts`.
async fn attempts(filter: &mut dyn AsyncFilter, batch: &Batch, attempts: u32) -> (Output, Vec<Error>) {
    let (cx, _stopping) = context();
    filter.open(&cx).await.unwrap();
    let mut errors = Vec::new();
    for number in 1..=attempts {
        let mut out = Output::new(batch).in_attempt(Attempt { number, last: number == attempts });
        match filter.process(batch, &mut out, &cx).await {
            Ok(()) => return (out, errors),
            Err(error) => errors.push(error),
        }
    }
    panic!("the last attempt is the last: {errors:?}");
}

fn ids(range: std::ops::Range<u32>) -> Batch {
    batch(range.map(|id| format!(r#"{{"id":{id}}}"#)))
}

#[tokio::test]
async fn one_event_that_fails_is_rejected_alone_with_its_own_reason() {
    for (reply, words) in [
        ((|| status(500, "ill")) as fn() -> Reply, "500"),
        (|| status(429, "slow down"), "429"),
        (|| status(503, "").with("retry-after", "0"), "503"),
        (|| status(401, "who"), "401"),
        (|| Reply::HangUp, "no response"),
        (|| Reply::BreakOff, "broke off"),
    ] {
        for parallel in [1, 8] {
            let server = Server::start(move |request| match request.target.as_str() {
                "/17" | "/500" => reply(),
                target => ok(target[1..].to_owned()),
            })
            .await;
            let options = json!({ "replace": true, "parallel": parallel });
            let mut asking = filter(&format!("{}/{{.id}}", server.url), options);
            let (mut out, errors) = attempts(&mut *asking, &ids(0..1000), 3).await;
            let (emitted, rejected) = out.take();
            let texts: Vec<String> = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
            assert_eq!(texts.len(), 998, "{words} {parallel}");
            assert_eq!((texts[16].as_str(), texts[17].as_str()), ("16", "18"), "the order is kept");
            assert_eq!(rejected.iter().map(|one| one.event).collect::<Vec<_>>(), [17, 500]);
            for one in &rejected {
                assert!(one.reason.starts_with("given up after 3 tries: "), "{}", one.reason);
                assert!(one.reason.contains(&format!("/{}", one.event)), "its own: {}", one.reason);
                assert!(one.reason.contains(words), "{}", one.reason);
            }
            assert!(errors[1].message().contains("of 1000 events wait"), "{}", errors[1]);
            let targets = server.targets();
            assert!(targets.iter().filter(|target| *target == "/17").count() <= 3, "{words}");
            let others = targets.iter().filter(|target| *target != "/17" && *target != "/500").count();
            assert_eq!(others, 998, "each is asked about once");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_asked_about_every_event() {
    let mut asking = filter("http://127.0.0.1:1/{.id}", json!({ "replace": true }));
    let (mut out, errors) = attempts(&mut *asking, &ids(0..20), 2).await;
    assert!(errors[0].message().contains("20 of 20 events wait: GET"), "{}", errors[0]);
    let (_, rejected) = out.take();
    assert!(rejected.iter().all(|one| one.reason.contains("no connection")), "{rejected:?}");
    assert_eq!(rejected.len(), 20);

    let server = Server::start(|_| Reply::HangUp).await;
    let mut asking = filter(&format!("{}/{{.id}}", server.url), json!({ "replace": true, "parallel": 2 }));
    attempts(&mut *asking, &ids(0..100), 1).await;
    assert!(server.targets().len() < 10, "after a few without a response it is left alone");
}

#[tokio::test]
async fn an_event_that_fails_can_go_on_with_the_reason() {
    let server = Server::start(|request| match request.target.as_str() {
        "/1" => status(500, "ill"),
        "/2" => status(422, "bad"),
        "/3" => ok("<html>"),
        "/4" => status(404, ""),
        _ => ok("[]"),
    })
    .await;
    let options = json!({ "into": "r", "on_error": "pass" });
    let mut asking = filter(&format!("{}/{{.id}}", server.url), options);
    let events = batch((0..6).map(|id| if id == 5 { "[]".into() } else { format!(r#"{{"id":{id}}}"#) }));
    let (mut out, _) = attempts(&mut *asking, &events, 2).await;
    let (emitted, rejected) = out.take();
    assert!(rejected.is_empty(), "{rejected:?}");
    let batch = &emitted[0].1;
    assert_eq!(batch.texts()[..2], [r#"{"id":0,"r":[]}"#, r#"{"id":1}"#]);
    assert_eq!(batch.len(), 6);
    let number = |status: i64| Some(AttributeValue::Integer(status));
    for (event, words, code) in [
        (1, "given up after 2 tries: GET", number(500)),
        (2, "422", number(422)),
        (3, "malformed JSON", None),
        (4, "404", number(404)),
        (5, "`.id`", None),
    ] {
        let Some(AttributeValue::Text(reason)) = batch.attribute(event, "http_error") else {
            panic!("event {event} has its reason")
        };
        assert!(reason.contains(words), "{event}: {reason}");
        assert_eq!(batch.attribute(event, "http_status").cloned(), code, "{event}");
    }
    assert_eq!(batch.attribute(0, "http_error"), None);
}

#[tokio::test]
async fn a_login_that_is_refused_stops_the_batch() {
    for code in [401, 403] {
        let server = Server::start(move |_| status(code, "")).await;
        let mut asking = filter(&server.url, json!({ "into": "u" }));
        let error = process(&mut *asking, &batch(["{}"])).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
    }
}

#[tokio::test]
async fn kept_answers_are_not_asked_for_again() {
    let server = Server::start(|request| match request.target.as_str() {
        "/9" => status(404, ""),
        _ => ok(r#"{"n":1}"#),
    })
    .await;
    let options =
        json!({ "merge": true, "missing": "pass", "cache": { "size": 100, "ttl": "1h" }, "parallel": 1 });
    let mut asking = filter(&format!("{}/{{.id}}", server.url), options);
    let events = batch([r#"{"id":1}"#, r#"{"id":9}"#, r#"{"id":1}"#]);
    for _ in 0..2 {
        let (texts, _) = process(&mut *asking, &events).await.unwrap();
        assert_eq!(texts, [r#"{"id":1,"n":1}"#, r#"{"id":9}"#, r#"{"id":1,"n":1}"#]);
    }
    assert_eq!(server.targets(), ["/1", "/9"]);
}

#[test]
fn mistakes_are_found_when_it_is_built() {
    for (options, pointer) in [
        (json!({}), ""),
        (json!({ "into": "a", "merge": true }), ""),
        (json!({ "into": "a", "split": true }), "/split"),
        (json!({ "merge": true, "decode": "text" }), "/decode"),
        (json!({ "into": "a", "parallel": 0 }), "/parallel"),
        (json!({ "into": "a", "url": "http://h{.x}/" }), "/url"),
    ] {
        let all = with_options(json!({ "url": "http://h/{.id}" }), options.clone());
        let error = plugin().build(&all).err().unwrap_or_else(|| panic!("{options} is refused"));
        assert_eq!(error.pointer, pointer, "{error}");
    }
}
