//! Tests of the sink with a real server.

use std::io::Write;

use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use serde_json::{Value, json};
use tidegate_sdk::{Batch, Class, Delivery, Error, Sink};
use tidegate_testkit::{batch, build_sink, context};

use super::plugin;
use crate::client::test_server::{ReceivedRequest, Reply, Server, ok, status, with_options};
use crate::coding::{Decoder, codings};

fn sink(url: &str, options: Value) -> Box<dyn Sink> {
    let all = with_options(json!({ "url": url }), options);
    build_sink(&plugin(), &all)
}

async fn write(sink: &mut dyn Sink, batch: &Batch) -> Result<Delivery, Error> {
    let (cx, _stopping) = context();
    sink.open(&cx).await?;
    sink.write(batch, &cx).await
}

fn rejected(delivery: &Delivery) -> Vec<usize> {
    delivery.rejected().iter().map(|one| one.event).collect()
}

#[tokio::test]
async fn every_format_is_written() {
    let events = batch([r#"{"a": 1}"#, "[2]", "{\n\"c\": 3}"]);
    for (format, content_type, bodies) in [
        ("json_array", "application/json", vec!["[{\"a\": 1},[2],{\n\"c\": 3}]"]),
        ("json_lines", "application/x-ndjson", vec!["{\"a\": 1}\n[2]\n{\"c\":3}\n"]),
        ("single", "application/json", vec!["{\"a\": 1}", "[2]", "{\n\"c\": 3}"]),
    ] {
        for compress in ["none", "gzip", "deflate", "zstd"] {
            let server = Server::start(|_| status(201, "made")).await;
            let mut sink = sink(&server.url, json!({ "format": format, "compress": compress }));
            let delivery = write(&mut *sink, &events).await.unwrap();
            assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
            let request = server.received();
            let text = |request: &ReceivedRequest| decoded(&request.body, compress);
            assert_eq!(request.iter().map(text).collect::<Vec<_>>(), bodies);
            assert_eq!(request[0].header("content-type"), Some(content_type));
            assert_eq!(request[0].header("content-encoding"), (compress != "none").then_some(compress));
            assert_eq!(request[0].method, "POST");
        }
    }
}

/// Decodes a body.
fn decoded(body: &[u8], coding: &str) -> String {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, coding.replace("none", "").parse().unwrap())]);
    let mut decoder = Decoder::new(&codings(&headers).unwrap(), Vec::new()).unwrap();
    decoder.write_all(body).unwrap();
    decoder.finish().unwrap();
    String::from_utf8(decoder.target().clone()).unwrap()
}

#[tokio::test]
async fn a_single_event_goes_to_its_own_url() {
    let server =
        Server::start(|request| if request.target == "/u/2" { status(404, "who") } else { ok("") }).await;
    let options = json!({ "format": "single", "method": "PUT", "headers": { "content-type": "text/x" } });
    let mut sink = sink(&format!("{}/u/{{.id}}", server.url), options);
    let events = batch([r#"{"id":1}"#, r#"{"id":2}"#, r#"{"no":3}"#, r#"{"id":4}"#]);
    let delivery = write(&mut *sink, &events).await.unwrap();
    assert_eq!(rejected(&delivery), [1, 2]);
    assert_eq!(server.targets(), ["/u/1", "/u/2", "/u/4"], "in order");
    assert_eq!(server.received()[0].method, "PUT");
    assert_eq!(server.received()[0].header("content-type"), Some("text/x"));
}

#[tokio::test]
async fn events_other_than_json_are_rejected_before_they_are_sent() {
    let server = Server::start(|_| ok("")).await;
    for format in ["json_array", "json_lines"] {
        let mut sink = sink(&server.url, json!({ "format": format }));
        let delivery = write(&mut *sink, &batch(["1", "x", "{}", ""])).await.unwrap();
        assert_eq!(rejected(&delivery), [1, 3]);
        assert!(delivery.rejected()[0].reason.contains("malformed JSON"));
    }
    assert_eq!(server.received()[0].text(), "[1,{}]");
    let mut sink = sink(&server.url, json!({}));
    let delivery = write(&mut *sink, &batch(["x"])).await.unwrap();
    assert_eq!((rejected(&delivery).len(), server.targets().len()), (1, 2), "there is nothing to send");
}

#[tokio::test]
async fn only_the_bad_event_of_a_refused_batch_is_rejected() {
    let server =
        Server::start(|request| if request.text().contains("13") { status(422, "thirteen") } else { ok("") })
            .await;
    let mut sink = sink(&server.url, json!({}));
    let delivery = write(&mut *sink, &batch((0..100).map(|number| number.to_string()))).await.unwrap();
    assert_eq!(rejected(&delivery), [13]);
    assert!(
        delivery.rejected()[0].reason.contains("422") && delivery.rejected()[0].reason.contains("thirteen")
    );
    assert!(delivery.to_retry().is_none());
    let taken = server.received().into_iter().filter(|request| !request.text().contains("13"));
    let taken: Vec<u32> =
        taken.flat_map(|request| serde_json::from_slice::<Vec<u32>>(&request.body).unwrap()).collect();
    assert_eq!(taken, (0..100).filter(|number| *number != 13).collect::<Vec<_>>(), "each once, in order");
    assert!(server.targets().len() < 16);
}

#[tokio::test]
async fn the_search_for_bad_events_has_a_limit_and_loses_none() {
    let server = Server::start(|_| status(400, "never")).await;
    let mut sink = sink(&server.url, json!({}));
    let delivery = write(&mut *sink, &batch((0..500).map(|number| number.to_string()))).await.unwrap();
    assert!((super::SEARCH..super::SEARCH + 3).contains(&server.targets().len()));
    let bad = rejected(&delivery);
    let (open, error) = delivery.to_retry().unwrap();
    assert_eq!(error.class(), Class::Retry);
    assert!(!bad.is_empty(), "each write gets further");
    assert_eq!([bad.as_slice(), open].concat(), (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_error_in_the_search_leaves_the_rest_to_the_next_try() {
    let server = Server::start(|request| match request.text().as_str() {
        "[0,1,2,3]" => status(413, ""),
        "[0,1]" => ok(""),
        _ => status(503, "").with("retry-after", "9"),
    })
    .await;
    let mut sink = sink(&server.url, json!({}));
    let delivery = write(&mut *sink, &batch(["0", "1", "2", "3"])).await.unwrap();
    let (open, error) = delivery.to_retry().unwrap();
    assert_eq!(open, [2, 3]);
    assert_eq!((error.class(), error.retry_after().unwrap().as_secs()), (Class::Retry, 9));
}

#[tokio::test]
async fn errors_have_their_classes() {
    for (code, class) in [
        (429, Class::Retry),
        (500, Class::Retry),
        (503, Class::Retry),
        (408, Class::Retry),
        (401, Class::Misconfigured),
        (403, Class::Misconfigured),
        (404, Class::Misconfigured),
        (307, Class::Misconfigured),
    ] {
        for format in ["json_array", "single"] {
            let server = Server::start(move |_| status(code, "why")).await;
            let mut sink = sink(&server.url, json!({ "format": format }));
            let error = failure(&mut *sink, &batch(["1", "2"])).await;
            assert_eq!(error.class(), class, "{code}: {error}");
            assert!(error.message().contains(&code.to_string()), "{error}");
            assert_eq!(server.targets().len(), 1, "after a failure no more is sent");
        }
    }
    for reply in [|| Reply::HangUp, || Reply::Silence] {
        let server = Server::start(move |_| reply()).await;
        let mut sink = sink(&server.url, json!({ "time_limit": "100ms" }));
        let error = write(&mut *sink, &batch(["1"])).await.unwrap_err();
        assert_eq!(error.class(), Class::Ambiguous, "{error}");
    }
    let mut closed = sink("http://127.0.0.1:1/", json!({}));
    assert_eq!(write(&mut *closed, &batch(["1"])).await.unwrap_err().class(), Class::Retry);
}

/// Returns the error of a write that delivered nothing.
async fn failure(sink: &mut dyn Sink, batch: &Batch) -> Error {
    match write(sink, batch).await {
        Err(error) => error,
        Ok(delivery) => {
            assert!(delivery.rejected().is_empty());
            let (_, again) = delivery.into_parts();
            let (open, error) = again.expect("something is to be tried again");
            assert_eq!(open.len(), batch.len());
            error
        }
    }
}

#[tokio::test]
async fn a_409_to_a_repeated_key_is_a_delivery_and_one_to_a_new_key_is_not() {
    // The first request is processed and its response lost. Afterwards the server refuses the known key.
    for lost in [|| Reply::HangUp, || status(504, "gateway"), || Reply::BreakOff] {
        for format in ["json_array", "single"] {
            let mut known = std::collections::HashSet::new();
            let server = Server::start(move |request| {
                let new = known.insert(request.header("idempotency-key").unwrap().to_owned());
                if new { lost() } else { status(409, "known") }
            })
            .await;
            let mut sink = sink(&server.url, json!({ "format": format }));
            let events = batch(["1"]);
            let first = write(&mut *sink, &events).await;
            let delivered = |result: Result<Delivery, Error>| {
                result.is_ok_and(|done| done.to_retry().is_none() && done.rejected().is_empty())
            };
            // A success counts although its body is truncated.
            if !delivered(first) {
                assert!(delivered(write(&mut *sink, &events).await), "{format}");
                assert_eq!(
                    server.targets().len(),
                    3,
                    "it is asked once more, in case the first is still at work"
                );
            }
        }
    }
    let server = Server::start(|_| status(409, "conflict")).await;
    let mut fresh = sink(&server.url, json!({}));
    let delivery = write(&mut *fresh, &batch(["1"])).await.unwrap();
    assert!(delivery.rejected()[0].reason.contains("409"), "a key that was never sent before proves nothing");
    // A request that is refused again and was never processed, and one without a key.
    let delivery = write(&mut *fresh, &batch(["1"])).await.unwrap();
    assert_eq!(rejected(&delivery), [0]);
    let mut replies = vec![status(409, "conflict"), Reply::HangUp];
    let server = Server::start(move |_| replies.pop().unwrap()).await;
    let mut keyless = sink(&server.url, json!({ "idempotency_key": false }));
    write(&mut *keyless, &batch(["1"])).await.unwrap_err();
    assert_eq!(rejected(&write(&mut *keyless, &batch(["1"])).await.unwrap()), [0]);
}

#[tokio::test]
async fn a_409_says_how_long_the_request_before_is_at_work() {
    let mut replies = vec![ok(""), status(409, "wait").with("retry-after", "5"), Reply::HangUp];
    let server = Server::start(move |_| replies.pop().unwrap()).await;
    let mut sink = sink(&server.url, json!({}));
    let events = batch(["1"]);
    assert_eq!(write(&mut *sink, &events).await.unwrap_err().class(), Class::Ambiguous);
    let error = write(&mut *sink, &events).await.unwrap_err();
    assert_eq!((error.class(), error.retry_after().unwrap().as_secs()), (Class::Retry, 5));
    assert!(write(&mut *sink, &events).await.unwrap().to_retry().is_none());
}

#[tokio::test]
async fn an_early_413_is_seen_although_the_connection_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tidegate_sdk::Tasks::new().spawn(async move {
        for _ in 0..20 {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read(&mut [0; 1024]).await.unwrap();
            assert!(read > 0);
            let response = b"HTTP/1.1 413 X\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlong";
            stream.write_all(response).await.unwrap();
            // The rest of the request is not read, so the kernel resets the connection.
        }
    });
    let large = format!("\"{}\"", "x".repeat(4 << 20));
    for _ in 0..20 {
        let mut sink = sink(&url, json!({}));
        let delivery = write(&mut *sink, &batch([large.as_str()])).await.unwrap();
        let reason = &delivery.rejected()[0].reason;
        assert!(reason.contains("413"), "{reason}");
    }
    served.await.unwrap();
}

#[tokio::test]
async fn a_success_counts_even_if_its_body_is_truncated() {
    let server = Server::start(|_| Reply::BreakOff).await;
    let delivery = write(&mut *sink(&server.url, json!({})), &batch(["1"])).await.unwrap();
    assert!(delivery.to_retry().is_none());
}

#[tokio::test]
async fn single_events_that_failed_are_tried_again_alone() {
    let server = Server::start(|request| match request.text().as_str() {
        "1" => status(400, "bad"),
        "2" => status(503, ""),
        _ => ok(""),
    })
    .await;
    let mut sink = sink(&server.url, json!({ "format": "single" }));
    let delivery = write(&mut *sink, &batch(["0", "1", "2", "3"])).await.unwrap();
    assert_eq!(rejected(&delivery), [1]);
    assert_eq!(delivery.to_retry().unwrap().0, [2, 3]);
    assert_eq!(server.targets().len(), 3, "the order is kept: 3 does not overtake 2");
    let mut delivery = delivery;
    let failed = delivery.take_failed();
    assert_eq!(failed.len(), 1, "3 was not asked about and has used up nothing");
    assert!(failed[0].0 == 2 && failed[0].1.contains("503"), "{failed:?}");
}

#[tokio::test]
async fn without_an_order_a_failure_delays_no_other_event() {
    let server = Server::start(|request| match request.text().as_str() {
        "3" => status(500, "three"),
        "5" => Reply::HangUp,
        "7" => status(400, "seven"),
        _ => ok(""),
    })
    .await;
    let mut sink = sink(&server.url, json!({ "format": "single", "parallel": 4 }));
    let mut delivery = write(&mut *sink, &batch((0..100).map(|number| number.to_string()))).await.unwrap();
    assert_eq!(rejected(&delivery), [7]);
    assert_eq!(delivery.to_retry().unwrap().0, [3, 5]);
    let failed = delivery.take_failed();
    assert!(failed[0].1.contains("three") && failed[1].1.contains("no response"), "{failed:?}");
    assert_eq!(server.targets().len(), 100, "each is sent once");
}

#[tokio::test]
async fn several_single_events_are_sent_at_once() {
    // No request gets a response before three have arrived: one at a time would wait for ever.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(3));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let tasks = tidegate_sdk::Tasks::new();
    drop(tasks.clone().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let barrier = std::sync::Arc::clone(&barrier);
            drop(tasks.spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let read = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(read > 0);
                barrier.wait().await;
                stream.write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").await.unwrap();
            }));
        }
    }));
    let mut sink = sink(&url, json!({ "format": "single", "parallel": 3 }));
    let delivery = write(&mut *sink, &batch(["0", "1", "2", "3", "4", "5"])).await.unwrap();
    assert!(delivery.to_retry().is_none());
}

#[tokio::test]
async fn a_retry_carries_the_same_key_and_forks_agree() {
    let server = Server::start(|_| status(503, "")).await;
    let mut first = sink(&server.url, json!({}));
    let events = batch(["1", "2"]);
    write(&mut *first, &events).await.unwrap_err();
    write(&mut *first, &events).await.unwrap_err();
    write(&mut *first.fork().unwrap(), &events).await.unwrap_err();
    write(&mut *first, &events.select([1])).await.unwrap_err();
    let keys: Vec<_> = server
        .received()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!((&keys[0], &keys[0]), (&keys[1], &keys[2]));
    assert_ne!(keys[0], keys[3]);
    assert_eq!(keys[0].len(), 32);
    write(&mut *sink(&server.url, json!({ "idempotency_key": false })), &events).await.unwrap_err();
    assert_eq!(server.received().last().unwrap().header("idempotency-key"), None);
}

#[test]
fn mistakes_are_found_when_it_is_built() {
    for (options, pointer) in [
        (json!({ "url": "http://h/{.id}" }), "/url"),
        (json!({ "parallel": 2 }), "/parallel"),
        (json!({ "parallel": 0, "format": "single" }), "/parallel"),
        (json!({ "method": "GET" }), ""),
    ] {
        let all = with_options(json!({ "url": "http://h/" }), options.clone());
        let error = plugin().build(&all).err().unwrap_or_else(|| panic!("{options} is refused"));
        assert_eq!(error.pointer, pointer, "{error}");
    }
}
