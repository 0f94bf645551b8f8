//! Each status other than the result of a pipeline.

use serde_json::json;
use tidegate_sdk::Outcome;

use super::client::{Client, once, post, request, until};
use super::driver::{Driven, Fate, Opened};

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn a_delivered_request_gets_the_number_of_events() {
    let server = Driven::delivering(json!({})).await;
    let reply = post(server.address, JSON, "[1, 2]").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"events":2}"#));
    assert_eq!(server.entered(), ["1", "2"]);
    server.stop().await;
}

#[tokio::test]
async fn a_failed_or_rejected_request_gets_its_status() {
    let server = Opened::new(json!({})).await.drive(|batch| {
        Fate::End(match batch.payload(0) {
            b"0" => Outcome::Failed,
            _ => Outcome::Rejected("the event has no `.id`".into()),
        })
    });
    let mut client = Client::connect(server.address).await;
    let failed = client.post(JSON, "0").await;
    assert_eq!((failed.status, failed.header("retry-after")), (503, Some("1")));
    assert!(failed.error().contains("failed to process"));
    let rejected = client.post(JSON, "1").await;
    assert_eq!((rejected.status, rejected.error().as_str()), (422, "the event has no `.id`"));
    server.stop().await;
}

#[tokio::test]
async fn past_the_time_limit_the_events_run_on_only_if_they_are_to() {
    for run_on in [false, true] {
        let mut server = Opened::new(json!({ "time_limit": "20ms", "run_on": run_on })).await;
        let reply = post(server.address, JSON, "1").await;
        assert_eq!(reply.status, 504);
        let rest = if run_on { "run on" } else { "cancelled" };
        assert!(reply.error().contains("20ms") && reply.error().contains(rest), "{reply:?}");
        server.stopping.cancel();
        let next = server.next().await;
        assert_eq!(next.map(|next| next.batch.texts()), run_on.then(|| vec!["1".to_owned()]));
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_work() {
    for respond in ["delivered", "result"] {
        let mut server = Opened::new(json!({ "respond": respond })).await;
        let mut client = Client::connect(server.address).await;
        client.send(&request("POST", "/events", JSON, b"1")).await;
        let next = server.next().await.unwrap();
        let sent_by = next.client.clone().unwrap();
        assert!(sent_by.waits() && !sent_by.is_gone());
        drop(client);
        until("the client is missed", || sent_by.is_gone()).await;
        next.done.unwrap()(Outcome::Delivered);
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused_and_the_types_are_named() {
    let server = Driven::delivering(json!({})).await;
    let boundary = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
    let cases = [
        ("multipart/form-data; boundary=x", boundary),
        ("application/x-www-form-urlencoded", "a=1&b=2"),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "a=1"),
        ("application/xml", "<a/>"),
        ("image/png", "\u{89}PNG"),
    ];
    for (content_type, body) in cases {
        let reply = post(server.address, &format!("content-type: {content_type}\r\n"), body).await;
        assert_eq!(reply.status, 415, "{content_type}");
        assert!(reply.error().contains("application/json") && reply.error().contains("decode"), "{reply:?}");
    }
    assert!(server.entered().is_empty());
    // The default type of curl, and types without a meaning.
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", "{\"a\":1}"),
        ("application/x-www-form-urlencoded", "[1]"),
        ("application/octet-stream", "1"),
    ] {
        let reply = post(server.address, &format!("content-type: {content_type}\r\n"), body).await;
        assert_eq!(reply.status, 200, "{content_type}: {body}");
    }
    server.stop().await;
    let server = Driven::delivering(json!({ "decode": "form" })).await;
    let reply =
        post(server.address, "content-type: application/x-www-form-urlencoded\r\n", "a=1&b=x+y").await;
    assert_eq!(reply.status, 200);
    assert_eq!(server.entered(), [r#"{"a":"1","b":"x y"}"#]);
    server.stop().await;
}

/// Guards a server without a token from web pages in a browser on the same machine.
#[tokio::test]
async fn without_a_token_a_request_is_for_a_known_host_and_origin() {
    let server = Driven::delivering(json!({ "hosts": ["events.example"] })).await;
    let ask = async |headers: &str| {
        let request = format!("POST /events HTTP/1.1\r\n{headers}content-length: 1\r\n\r\n1");
        once(server.address, request.as_bytes()).await.status
    };
    for good in ["host: localhost:1\r\n", "host: EVENTS.example\r\norigin: http://127.0.0.1:3000\r\n"] {
        assert_eq!(ask(good).await, 200, "{good}");
    }
    for bad in [
        "host: evil.example\r\n",
        "host: localhost\r\norigin: https://evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
    ] {
        assert_eq!(ask(bad).await, 403, "{bad}");
    }
    assert_eq!(server.entered().len(), 2);
    server.stop().await;
    // A client with the token is not a foreign page.
    let server = Driven::delivering(json!({ "token": "t" })).await;
    let request =
        "POST /events HTTP/1.1\r\nhost: any.example\r\nauthorization: Bearer t\r\ncontent-length: 1\r\n\r\n1";
    assert_eq!(once(server.address, request.as_bytes()).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn an_accepted_request_gets_its_response_before_the_pipeline_has_it() {
    let mut server = Opened::new(json!({ "respond": "accepted" })).await;
    let mut client = Client::connect(server.address).await;
    for body in ["1", "[2,3]"] {
        assert_eq!(client.post(JSON, body).await.status, 202);
    }
    let next = server.next().await.unwrap();
    assert_eq!(next.batch.texts(), ["1", "2", "3"]);
    assert!(next.done.is_none());
}

#[tokio::test]
async fn malformed_json_says_where_and_nothing_enters() {
    let server = Driven::delivering(json!({})).await;
    let mut client = Client::connect(server.address).await;
    for (body, place) in [("{\"a\":}", "byte 5"), ("[1, 2, x]", "byte 7"), ("", "")] {
        let reply = client.post(JSON, body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.error().contains(place), "{}", reply.error());
    }
    let lines = client.post("content-type: application/x-ndjson\r\n", "1\n{\n").await;
    assert_eq!(lines.status, 400);
    assert!(lines.error().starts_with("line 2: "), "{}", lines.error());
    assert!(server.entered().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn nothing_to_deliver_is_delivered_at_once() {
    // No pipeline takes batches, so a response shows that none was needed.
    let server = Opened::new(json!({})).await;
    assert_eq!(post(server.address, JSON, "[]").await.status, 200);
    assert_eq!(post(server.address, "content-type: text/plain\r\n", "").await.status, 200);
}

#[tokio::test]
async fn only_the_path_and_its_methods_are_served() {
    let server = Driven::delivering(json!({ "methods": ["POST", "GET"] })).await;
    let mut client = Client::connect(server.address).await;
    for path in ["/", "/events/", "/events/x", "/event"] {
        client.send(&request("POST", path, JSON, b"1")).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 404, "{path}");
        reply.error();
    }
    client.send(&request("DELETE", "/events", "", b"")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, GET, HEAD, OPTIONS")));
    client.send(&request("OPTIONS", "/events", "", b"")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("allow")), (204, Some("POST, GET, HEAD, OPTIONS")));
    client.send(&request("HEAD", "/events", "", b"")).await;
    assert_eq!(client.reply_to("HEAD").await.status, 200);
    assert!(server.entered().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn every_path_below_a_star_is_served() {
    let server = Driven::delivering(json!({ "path": "/hooks/*" })).await;
    for (path, status) in [("/hooks/a", 200), ("/hooks/a/b?c", 200), ("/hooks", 404), ("/hook/a", 404)] {
        assert_eq!(once(server.address, &request("POST", path, JSON, b"1")).await.status, status, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_asked_for_before_all_else() {
    let server = Driven::delivering(json!({ "token": "s3cret" })).await;
    let wrong = [
        "",
        "authorization: s3cret\r\n",
        "authorization: Bearer s3cre\r\n",
        "authorization: Basic s3cret\r\n",
    ];
    for headers in wrong {
        let reply = once(server.address, &request("POST", "/nowhere", headers, b"1")).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")));
        assert!(!reply.error().contains("s3cret"));
    }
    for headers in ["authorization: Bearer s3cret\r\n", "Authorization: bearer s3cret\r\n"] {
        assert_eq!(post(server.address, headers, "1").await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn large_bodies_are_refused_while_they_are_read() {
    let options = json!({ "body_size": "2MiB", "events": 3, "header_size": "8KiB", "header_count": 20 });
    let server = Driven::delivering(options).await;
    let announced = b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n";
    let reply = once(server.address, announced).await;
    assert_eq!(reply.status, 413, "before a byte of the body");
    assert!(reply.error().contains("2MiB"));

    let mut client = Client::connect(server.address).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = [b"80000\r\n".as_slice(), &vec![b' '; 0x80000], b"\r\n"].concat();
    for _ in 0..5 {
        client.send(&chunk).await;
    }
    assert_eq!(client.reply().await.status, 413, "with no length announced");

    let event = vec![b'x'; (1 << 20) + 1];
    let reply = post(server.address, "content-type: text/plain\r\n", &event).await;
    assert_eq!(reply.status, 413);
    assert!(reply.error().contains("an event is over the limit of 1MiB"));
    assert_eq!(post(server.address, JSON, "[1,2,3,4]").await.status, 413);

    let long = format!("x-long: {}\r\n", "y".repeat(9000));
    assert_eq!(post(server.address, &long, "1").await.status, 431);
    let many: String = (0..30).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(post(server.address, &many, "1").await.status, 431);
    assert!(server.entered().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn requests_over_the_rate_get_429() {
    let server = Driven::delivering(json!({ "rate": 2 })).await;
    let mut client = Client::connect(server.address).await;
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let reply = client.post(JSON, "1").await;
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), Some("1"));
            reply.error();
            break;
        }
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert_eq!(statuses.last(), Some(&429));
    server.stop().await;
}
