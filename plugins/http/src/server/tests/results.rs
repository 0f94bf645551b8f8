//! `respond = "result"`: the response consists of the results of the pipeline.

use std::sync::Arc;

use serde_json::json;
use tidegate_sdk::{AttributeValue, Batch, Outcome};
use tidegate_testkit::{batch, context};

use super::client::{Client, once, post, request, until};
use super::driver::{Driven, Fate, Opened};

const JSON: &str = "content-type: application/json\r\n";
const LINES: &str = "content-type: application/x-ndjson\r\n";

#[tokio::test]
async fn the_answer_has_the_shape_of_the_request() {
    let server = Driven::echoing(json!({})).await;
    let mut client = Client::connect(server.address).await;
    let cases = [
        (JSON, r#"{"a": 1}"#, r#"{"a": 1}"#, "application/json"),
        (JSON, r#"[ {"a": 1}, 2 ]"#, r#"[{"a": 1},2]"#, "application/json"),
        (JSON, "[1]", "[1]", "application/json"),
        (JSON, "[]", "[]", "application/json"),
        (LINES, "1\r\n\n2", "1\n2\n", "application/x-ndjson"),
        ("content-type: text/plain\r\n", "a\nb\n", "a\nb\n", "text/plain; charset=utf-8"),
    ];
    for (headers, body, expected, content_type) in cases {
        let reply = client.post(headers, body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, expected));
        assert_eq!(reply.header("content-type"), Some(content_type));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_without_a_body_is_an_event_of_itself() {
    let server = Driven::echoing(json!({ "methods": ["GET", "POST"] })).await;
    let reply = once(server.address, &request("GET", "/events?a=1&b=x+y", "", b"")).await;
    let expected = r#"{"method":"GET","path":"/events","query":{"a":"1","b":"x y"}}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, expected));
    // `curl -d ''` sends the type of a form.
    for content_type in
        ["", "content-type: application/x-www-form-urlencoded\r\n", "content-type: image/png\r\n"]
    {
        let reply = once(server.address, &request("POST", "/events", content_type, b"")).await;
        let expected = r#"{"method":"POST","path":"/events","query":{}}"#;
        assert_eq!((reply.status, reply.body.as_str()), (200, expected), "{content_type}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_empty_body_of_a_named_form_is_read_as_that_form() {
    let server = Driven::echoing(json!({})).await;
    for (headers, status) in [(LINES, 204), ("content-type: text/plain\r\n", 204), (JSON, 400)] {
        assert_eq!(post(server.address, headers, "").await.status, status, "{headers}");
    }
    assert!(server.entered().is_empty());
    server.stop().await;
    let server = Driven::echoing(json!({ "decode": "json_lines" })).await;
    assert_eq!(post(server.address, JSON, "").await.status, 204, "a fixed form does not look at the type");
    server.stop().await;
}

/// Drops `0`, makes two results of `2`, and keeps the rest, in reverse order.
fn reshaped(batch: &Batch) -> Fate {
    let mut builder = batch.derive();
    for event in (0..batch.len()).rev() {
        match batch.payload(event) {
            b"0" => {}
            b"2" => (0..2).for_each(|part| builder.write(event, format!("\"2.{part}\"").as_bytes())),
            _ => builder.keep(event),
        }
    }
    Fate::Response(builder.finish())
}

#[tokio::test]
async fn dropped_and_split_events_count() {
    let server = Opened::new(json!({ "respond": "result" })).await.drive(reshaped);
    let mut client = Client::connect(server.address).await;
    let cases = [
        ("0", 204, ""),
        ("1", 200, "1"),
        ("2", 200, r#"["2.0","2.1"]"#),
        ("[0]", 200, "[]"),
        ("[3,2,0,1]", 200, r#"[3,"2.0","2.1",1]"#),
    ];
    for (body, status, expected) in cases {
        let reply = client.post(JSON, body).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, expected), "{body}");
    }
    let reply = client.post(LINES, "0\n").await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    server.stop().await;
}

#[tokio::test]
async fn status_type_and_headers_can_be_set() {
    let response = json!({ "status": 201, "content_type": "text/x", "headers": { "x-a": "b" } });
    let server = Opened::new(json!({ "respond": "result" })).await;
    let server = server.drive_to(&response, |batch| Fate::Response(batch.clone()));
    let reply = post(server.address, JSON, "1").await;
    assert_eq!((reply.status, reply.body.as_str()), (201, "1"));
    assert_eq!((reply.header("content-type"), reply.header("x-a")), (Some("text/x"), Some("b")));
    server.stop().await;
}

#[tokio::test]
async fn a_request_of_many_batches_has_one_answer_in_order() {
    let server = Driven::echoing(json!({})).await;
    let numbers: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let body = format!("[{}]", numbers.join(","));
    assert_eq!(post(server.address, JSON, &body).await.body, body);
    server.stop().await;
}

#[tokio::test]
async fn a_rejected_event_is_the_answer_to_the_whole_request() {
    let server = Opened::new(json!({ "respond": "result" })).await;
    let server = server.drive(|_| Fate::End(Outcome::Rejected("the event is no user".into())));
    let reply = post(server.address, JSON, "[1,2]").await;
    assert_eq!((reply.status, reply.error().as_str()), (422, "the event is no user"));
    server.stop().await;
}

#[tokio::test]
async fn results_over_the_limit_are_an_error_and_let_go_of() {
    let server = Opened::new(json!({ "respond": "result", "inflated_size": "1KiB" })).await;
    let server = server.drive(|batch| {
        let mut builder = batch.derive();
        (0..100).for_each(|_| builder.write(0, &[b'1'; 100]));
        Fate::Response(builder.finish())
    });
    let reply = post(server.address, JSON, "1").await;
    assert_eq!(reply.status, 500);
    assert!(reply.error().contains("exceed the limit of the server"));
    server.stop().await;
}

#[tokio::test]
async fn the_result_of_a_request_that_is_over_is_dropped() {
    let mut server = Opened::new(json!({ "respond": "result" })).await;
    let mut client = Client::connect(server.address).await;
    client.send(&request("POST", "/events", JSON, b"1")).await;
    let next = server.next().await.unwrap();
    assert_eq!(server.pending_requests.len(), 1);
    drop(client);
    until("the client is missed", || server.pending_requests.len() == 0).await;
    let results = next.batch.stamped(&Arc::from("test"), 0);
    let delivery = server.sink(&json!({})).write(&results, &server.cx).await.unwrap();
    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
    next.done.unwrap()(Outcome::Delivered);
    assert_eq!(server.source.budget().used(), 0);
}

#[tokio::test]
async fn events_without_a_waiting_request_are_rejected() {
    let server = Opened::new(json!({})).await;
    let (cx, _stopping) = context();
    let delivery = server.sink(&json!({})).write(&batch(["a", "b"]), &cx).await.unwrap();
    let events: Vec<usize> = delivery.rejected().iter().map(|one| one.event).collect();
    assert_eq!(events, [0, 1]);
    assert!(delivery.rejected()[0].reason.contains("respond = \"result\""));

    let server = Opened::new(json!({})).await.drive(|batch| Fate::Response(batch.clone()));
    let reply = post(server.address, JSON, "1").await;
    assert_eq!(reply.status, 422, "`delivered` and `http_response` do not go together");
    server.stop().await;
}

#[tokio::test]
async fn two_servers_share_nothing() {
    let mut first = Opened::new(json!({ "respond": "result" })).await;
    let mut second = Opened::new(json!({ "respond": "result" })).await;
    // Both pipelines belong to one process, so they share the pending requests.
    second.pending_requests = Arc::clone(&first.pending_requests);
    let options = super::driver::options(&json!({ "respond": "result" }));
    let mut source =
        crate::server::source::HttpServer::new(options, Arc::clone(&first.pending_requests)).unwrap();
    tidegate_sdk::Source::open(&mut source, &second.cx).await.unwrap();
    (second.address, second.source) = (source.address(), source);

    let (one, two) = (first.address, second.address);
    let clients = async { tokio::join!(post(one, JSON, "1"), post(two, JSON, "2")) };
    let engine = async {
        let batches = [first.next().await.unwrap(), second.next().await.unwrap()];
        let batches = batches.map(|next| (next.batch.stamped(&Arc::from("s"), 0), next.done.unwrap()));
        // One write brings the results of both requests, as after a fan-in.
        let both = Batch::concat(&[batches[1].0.clone(), batches[0].0.clone()]);
        let delivery = first.sink(&json!({})).write(&both, &first.cx).await.unwrap();
        assert!(delivery.rejected().is_empty());
        batches.into_iter().for_each(|(_, done)| done(Outcome::Delivered));
    };
    let ((one, two), ()) = tokio::join!(clients, engine);
    assert_eq!((one.body.as_str(), two.body.as_str()), ("1", "2"));
}

#[tokio::test]
async fn events_know_their_request() {
    let mut server = Opened::new(json!({ "headers": ["x-request-id", "x-missing"] })).await;
    let mut client = Client::connect(server.address).await;
    let local = client.stream.local_addr().unwrap().to_string();
    let headers = format!("{JSON}X-Request-Id: r7\r\n");
    client.send(&request("POST", "/events?a=%20b", &headers, b"[1]")).await;
    let next = server.next().await.unwrap();
    let attribute = |name| match next.batch.attribute(0, name) {
        Some(AttributeValue::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let expected = [
        ("method", Some("POST")),
        ("path", Some("/events")),
        ("query", Some("a=%20b")),
        ("remote_addr", Some(local.as_str())),
        ("content_type", Some("application/json")),
        ("header_x_request_id", Some("r7")),
        ("header_x_missing", None),
    ];
    for (name, value) in expected {
        assert_eq!(attribute(name).as_deref(), value, "{name}");
    }
}

/// Guards attributes that are kept from one request of a connection to the next.
#[tokio::test]
async fn the_attributes_are_those_of_each_request() {
    let (sender, texts) = std::sync::mpsc::sync_channel(1);
    let opened = Opened::new(json!({ "path": "/a/*", "headers": ["x-id"], "respond": "delivered" })).await;
    let server = opened.drive(move |batch| {
        let text = |name| match batch.attribute(0, name) {
            Some(AttributeValue::Text(text)) => text.clone(),
            _ => "-".to_owned(),
        };
        sender.send(["path", "query", "content_type", "header_x_id"].map(text).join(" ")).unwrap();
        Fate::End(Outcome::Delivered)
    });
    let mut client = Client::connect(server.address).await;
    let long = "x".repeat(2000);
    let cases = [
        ("/a/1", "x-id: 1\r\n", "/a/1 - - 1".to_owned()),
        ("/a/1", "x-id: 1\r\n", "/a/1 - - 1".to_owned()),
        ("/a/1", "x-id: 2\r\n", "/a/1 - - 2".to_owned()),
        ("/a/1", "", "/a/1 - - -".to_owned()),
        ("/a/1", JSON, "/a/1 - application/json -".to_owned()),
        ("/a/2?q=1", "x-id: 1\r\n", "/a/2 q=1 - 1".to_owned()),
        ("/a/2?q=2", "x-id: 1\r\n", "/a/2 q=2 - 1".to_owned()),
        (&format!("/a/{long}"), "", format!("/a/{long} - - -")),
        (&format!("/a/{long}"), "", format!("/a/{long} - - -")),
        ("/a/1", "", "/a/1 - - -".to_owned()),
    ];
    for (path, headers, expected) in cases {
        client.send(&request("POST", path, headers, b"1")).await;
        assert_eq!(client.reply().await.status, 200);
        assert_eq!(texts.recv().unwrap(), expected);
    }
    server.stop().await;
}
