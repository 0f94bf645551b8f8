//! The source against a real server.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_sdk::erased::ErasedSource;
use tidegate_sdk::{AttributeValue, Batch, Class, Error, Position};
use tidegate_testkit::{build_source, context, read_all};
use tokio::io::AsyncWriteExt;

use super::plugin;
use crate::client::test_server::{Asked, Reply, Server, gzip, ok, status, with_options};

/// The source with these options added to a URL, one poll and a short interval.
fn source(url: &str, options: Value) -> Box<dyn ErasedSource> {
    let all = with_options(json!({ "url": url, "times": 1, "interval": "1ms" }), options);
    build_source(&plugin(), &all)
}

async fn read(server: &Server, path: &str, options: Value) -> (Vec<String>, Vec<String>) {
    read_all(&mut *source(&format!("{}{path}", server.url), options)).await.unwrap()
}

async fn failure(server: &Server, options: Value) -> Error {
    read_all(&mut *source(&server.url, options)).await.unwrap_err()
}

/// The parameter `name` of what was asked.
fn parameter(asked: &Asked, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://h{}", asked.target)).unwrap();
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
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/users?x=1&all=true&limit=100&q=a+b")
    );
    assert_eq!(asked.text(), r#"{"query":"{users}"}"#);
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("x-api-key"), Some("k"));
    assert_eq!(asked.header("authorization"), Some("Basic bWU6cHc="));
    assert!(asked.header("user-agent").unwrap().starts_with("tidegate/"));
}

#[tokio::test]
async fn the_connection_is_kept_over_polls() {
    let server = Server::start(|_| ok("[1]")).await;
    assert_eq!(read(&server, "/", json!({ "times": 3 })).await.0, ["1", "1", "1"]);
    assert!(server.asked().iter().all(|asked| asked.connection == 0));
}

#[tokio::test]
async fn pages_are_handed_over_one_before_the_next_is_fetched() {
    let server = Server::start(|asked| match parameter(asked, "page").as_deref() {
        Some("1") => ok("[1,2]"),
        Some("2") => ok("[3]"),
        _ => ok("[]"),
    })
    .await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "page", "size": 2 } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1", "2"]);
    assert_eq!(server.targets(), ["/?page=1&limit=2"], "nobody has asked for more yet");
    let second = source.next(&cx).await.unwrap().unwrap().batch;
    assert_eq!(second.texts(), ["3"]);
    assert_eq!(second.attribute(0, "page"), Some(&AttributeValue::Integer(2)));
    assert!(source.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets().len(), 3);
}

#[tokio::test]
async fn every_kind_of_pagination_comes_to_its_end() {
    let link = Server::start(|asked| match asked.target.as_str() {
        "/a?key=1" => ok("[1]").with("link", r#"</b?p=2>; rel="next", </z>; rel="last""#),
        _ => ok("[2]"),
    })
    .await;
    assert_eq!(read(&link, "/a?key=1", json!({ "pagination": { "kind": "link" } })).await.0, ["1", "2"]);
    assert_eq!(link.targets(), ["/a?key=1", "/b?p=2"]);

    let cursor = Server::start(|asked| match parameter(asked, "after").as_deref() {
        None => ok(r#"{"items":[1],"next":"n 2"}"#),
        Some("n 2") => ok(r#"{"items":[],"next":3}"#),
        _ => ok(r#"{"items":[3],"next":null}"#),
    })
    .await;
    let pagination = json!({ "kind": "cursor", "from": ".next", "parameter": "after" });
    assert_eq!(
        read(&cursor, "/", json!({ "items": ".items", "pagination": pagination })).await.0,
        ["1", "3"]
    );
    assert_eq!(cursor.targets(), ["/", "/?after=n+2", "/?after=3"]);

    // A server that gives fewer events than were asked for loses none: what came is what counts.
    let offset = Server::start(|asked| match parameter(asked, "offset").as_deref() {
        Some("0") => ok("[0,1,2]"),
        Some("3") => ok("[3,4]"),
        _ => ok("[]"),
    })
    .await;
    let pagination = json!({ "kind": "offset", "size": 100 });
    assert_eq!(read(&offset, "/", json!({ "pagination": pagination })).await.0, ["0", "1", "2", "3", "4"]);
    assert_eq!(offset.targets().last().unwrap(), "/?offset=5&limit=100");

    let missing = Server::start(|asked| match parameter(asked, "page").as_deref() {
        Some("1") => ok("[1]"),
        _ => status(404, "no such page"),
    })
    .await;
    assert_eq!(read(&missing, "/", json!({ "pagination": { "kind": "page" } })).await.0, ["1"]);
}

#[tokio::test]
async fn pages_that_go_in_circles_end() {
    let same = Server::start(|_| ok("[1]")).await;
    let (texts, _) = read(&same, "/", json!({ "pagination": { "kind": "page" } })).await;
    assert_eq!(texts.len(), 2, "the server does not know the parameter");
    let cursor = Server::start(|_| ok(r#"{"next":"x"}"#)).await;
    let (texts, _) = read(&cursor, "/", json!({ "pagination": { "kind": "cursor", "from": ".next" } })).await;
    assert_eq!(texts.len(), 2, "the cursor repeats itself");
    let mut number = 0;
    let endless = Server::start(move |_| {
        number += 1;
        ok(format!("[{number}]"))
    })
    .await;
    let options = json!({ "pagination": { "kind": "page" }, "max_pages": 5 });
    assert_eq!(read(&endless, "/", options).await.0, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let server = Server::start(|_| ok("[1]").with("link", "<http://other.invalid/>; rel=next")).await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "link" } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"], "the page itself is good");
    let error = source.next(&cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().contains("hosts = [\"other.invalid\"]"), "{error}");
    assert!(source.next(&cx).await.unwrap().is_none(), "it is told once");
}

#[tokio::test]
async fn after_an_error_the_same_page_is_asked_for_again() {
    let mut failures = vec![status(503, "later").with("retry-after", "7"), Reply::HangUp, Reply::BreakOff];
    let server = Server::start(move |asked| match parameter(asked, "page").as_deref() {
        Some("1") => ok("[1]"),
        Some("2") => failures.pop().unwrap_or_else(|| ok("[2]")),
        _ => ok("[]"),
    })
    .await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "page" } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"]);
    for words in ["broke off", "no answer", "503"] {
        let error = source.next(&cx).await.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        assert!(error.message().contains(words), "{error}");
        if words == "503" {
            assert_eq!(error.retry_after().unwrap().as_secs(), 7);
        }
    }
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["2"]);
}

#[tokio::test]
async fn a_page_that_is_gone_for_good_does_not_hold_up_the_next_poll() {
    let server = Server::start(|asked| match parameter(asked, "cursor") {
        None => ok(r#"{"next":"expired"}"#),
        Some(_) => status(400, "cursor expired"),
    })
    .await;
    let options = json!({ "pagination": { "kind": "cursor", "from": ".next" }, "times": 2 });
    let mut source = source(&server.url, options);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    for _poll in 0..2 {
        assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.len(), 1);
        assert!(source.next(&cx).await.unwrap_err().message().contains("cursor expired"));
    }
    assert!(source.next(&cx).await.unwrap().is_none());
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
    let nobody = "http://127.0.0.1:1/";
    let error = read_all(&mut *source(nobody, json!({}))).await.unwrap_err();
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
    let server = Server::start(move |asked| {
        assert_eq!(asked.header("accept-encoding"), Some(crate::coding::ACCEPTED));
        match asked.target.as_str() {
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
async fn what_cannot_be_read_is_rejected_and_polling_goes_on() {
    let mut answers = vec![ok("[5]"), ok(r#"{"other": 1}"#), ok(r#"{"data": [1, "#), ok("<html>")];
    let server = Server::start(move |_| answers.pop().unwrap_or_else(|| ok(r#"{"data": [7]}"#))).await;
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
    let server = Server::start(move |asked| {
        number += 1;
        match asked.header("if-none-match") {
            Some("\"v1\"") if number < 4 => status(304, ""),
            _ => ok("[1]").with("etag", "\"v1\"").with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        }
    })
    .await;
    assert_eq!(read(&server, "/", json!({ "times": 4 })).await.0, ["1", "1"], "the first and the fourth");
    assert_eq!(server.asked()[1].header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let before = server.asked().len();
    read(&server, "/", json!({ "times": 2, "conditional": false })).await;
    assert!(server.asked()[before..].iter().all(|asked| asked.header("if-none-match").is_none()));
}

#[tokio::test]
async fn repeated_events_are_dropped() {
    let mut answers =
        vec![r#"[{"id":2,"x":9},{"id":3},{"no":1}]"#, r#"[{"id":1},{"id":2},{"id":1},{"no":1}]"#];
    let server = Server::start(move |_| ok(answers.pop().unwrap())).await;
    let (texts, _) = read(&server, "/", json!({ "times": 2, "unique": ".id" })).await;
    assert_eq!(texts, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"no":1}"#, r#"{"id":3}"#, r#"{"no":1}"#]);
}

fn position(batch: &Batch) -> Position {
    batch.runs()[0].origin.position.clone().expect("a batch with a cursor has a position")
}

#[tokio::test]
async fn the_cursor_of_a_poll_is_sent_with_the_next_and_kept_across_restarts() {
    let mut answers = vec!["[]", r#"[{"at":10},{"at":9}]"#, r#"[{"at":7},{"at":8},{"no":1}]"#];
    let server = Server::start(move |_| ok(answers.pop().unwrap_or("[]"))).await;
    let cursor = json!({ "cursor": { "from": ".at", "parameter": "since", "initial": 5 }, "times": 3 });
    let mut first = source(&server.url, cursor.clone());
    let (cx, _stopping) = context();
    first.open(&cx).await.unwrap();
    assert_eq!(first.next(&cx).await.unwrap().unwrap().batch.len(), 3);
    let stored = position(&first.next(&cx).await.unwrap().unwrap().batch);
    assert!(first.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets(), ["/?since=5", "/?since=8", "/?since=10"]);

    let mut second = source(&server.url, cursor);
    let cx = cx.with_resume(BTreeMap::from([(String::new(), stored)]));
    second.open(&cx).await.unwrap();
    assert!(second.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets()[3], "/?since=10");
}

#[tokio::test]
async fn a_restart_within_a_poll_goes_on_at_its_page() {
    let pages = |asked: &Asked| match parameter(asked, "page").as_deref() {
        Some("1") => ok(r#"[{"at":30}]"#),
        Some("2") => ok(r#"[{"at":20}]"#),
        _ => ok("[]"),
    };
    let server = Server::start(pages).await;
    let options = json!({ "cursor": { "from": ".at", "parameter": "since" }, "pagination": { "kind": "page" }, "times": 2 });
    let mut first = source(&server.url, options.clone());
    let (cx, _stopping) = context();
    first.open(&cx).await.unwrap();
    let stored = position(&first.next(&cx).await.unwrap().unwrap().batch);

    // The newest came first, so their cursor may only be used once the older ones have come too.
    let mut second = source(&server.url, options);
    let cx = cx.with_resume(BTreeMap::from([(String::new(), stored)]));
    second.open(&cx).await.unwrap();
    assert_eq!(second.next(&cx).await.unwrap().unwrap().batch.texts(), [r#"{"at":20}"#]);
    assert_eq!(server.targets(), ["/?page=1", "/?page=2"]);
    second.next(&cx).await.unwrap();
    assert_eq!(server.targets()[2..4], ["/?page=3", "/?since=30&page=1"]);
}

#[tokio::test]
async fn a_large_page_is_cut_into_batches_and_only_the_last_goes_on() {
    let body = format!("[{}0]", "1,".repeat(9000));
    let server = Server::start(move |_| ok(body.clone())).await;
    let cursor = json!({ "cursor": { "from": ".", "parameter": "since", "initial": 0 } });
    let mut source = source(&server.url, cursor);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    let first = source.next(&cx).await.unwrap().unwrap().batch;
    let second = source.next(&cx).await.unwrap().unwrap().batch;
    assert_eq!((first.len(), first.len() + second.len()), (tidegate_sdk::BATCH_EVENTS, 9001));
    let since = |batch: &Batch| position(batch).read::<Value>().unwrap()["since"].clone();
    assert_eq!(since(&first), json!("0"), "after a crash here the page is read again");
    assert_eq!(since(&second), json!("1"));
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
