//! Connections and the server from start to end.

use serde_json::json;
use tidegate_sdk::{Class, Outcome, Source};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::client::{Client, PATIENCE, post, request, until};
use super::driver::{Driven, Opened, options};
use crate::pending::PendingRequests;
use crate::server::source::HttpServer;

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Driven::delivering(json!({ "connections": 1 })).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..50 {
        assert_eq!(client.post(JSON, "1").await.status, 200);
    }
    assert_eq!(server.entered().len(), 50);
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Driven::echoing(json!({})).await;
    let mut client = Client::connect(server.address).await;
    let requests: Vec<u8> =
        (0..20).flat_map(|number| request("POST", "/events", JSON, number.to_string().as_bytes())).collect();
    client.send(&requests).await;
    for number in 0..20 {
        assert_eq!(client.reply().await.body, number.to_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends() {
    let server = Driven::delivering(json!({ "token": "t" })).await;
    let head = "POST /events HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1\r\n";
    let mut client = Client::connect(server.address).await;
    client.send(format!("{head}authorization: Bearer t\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.status, 100);
    client.send(b"1").await;
    assert_eq!(client.reply().await.status, 200);
    let mut stranger = Client::connect(server.address).await;
    stranger.send(format!("{head}\r\n").as_bytes()).await;
    assert_eq!(stranger.reply().await.status, 401, "and may save itself the trouble");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_is_not_lost() {
    let server = Driven::delivering(json!({ "body_size": "1KiB" })).await;
    let mut client = Client::connect(server.address).await;
    client.send(&request("POST", "/events", JSON, &[b' '; 100 << 10])).await;
    assert_eq!(client.reply().await.status, 413);
    // A reset connection accepts no more bytes, and may lose the response.
    client.send(b"still here").await;
    assert_eq!(client.rest().await, "");
    server.stop().await;
}

/// Guards clients that send the whole body before they read: they saw a broken pipe instead of the response.
#[tokio::test]
async fn a_body_far_over_the_limit_is_read_to_its_end_and_dropped() {
    let server = Driven::delivering(json!({ "body_size": "1KiB" })).await;
    for chunked in [false, true] {
        let mut client = Client::connect(server.address).await;
        let (piece, pieces) = (vec![b' '; 1 << 20], 24);
        let length = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", pieces << 20)
        };
        client.send(format!("POST /events HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n").as_bytes()).await;
        for _ in 0..pieces {
            if chunked {
                client.send(b"100000\r\n").await;
            }
            client.send(&piece).await;
            if chunked {
                client.send(b"\r\n").await;
            }
        }
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    }
    assert_eq!(server.budget.used(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_leaves_nothing() {
    let server = Driven::delivering(json!({})).await;
    let mut client = Client::connect(server.address).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n123").await;
    until("the body is read", || server.budget.used() == 3).await;
    drop(client);
    until("the body is let go of", || server.budget.used() == 0).await;
    assert!(server.entered().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_finished_when_the_pipeline_stops() {
    let mut server = Opened::new(json!({})).await;
    let idle = Client::connect(server.address).await;
    let mut half = Client::connect(server.address).await;
    half.send(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n12").await;
    let budget = server.source.budget();
    until("half a body is here", || budget.used() == 2).await;
    let mut waiting = Client::connect(server.address).await;
    waiting.send(&request("POST", "/events", JSON, b"1")).await;
    let first = server.next().await.unwrap();

    server.stopping.cancel();
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    half.send(b"345").await;
    let second = server.next().await.unwrap();
    assert_eq!(second.batch.texts(), ["12345"]);
    assert!(server.next().await.is_none());
    for next in [first, second] {
        next.done.unwrap()(Outcome::Delivered);
    }
    for client in [&mut half, &mut waiting] {
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    }
    Source::close(&mut server.source, &server.cx).await.unwrap();
    server.cx.tasks().joined().await;
    assert!(TcpStream::connect(server.address).await.is_err(), "the socket is closed");
}

#[tokio::test]
async fn queued_requests_are_emitted_when_the_pipeline_stops() {
    let mut server = Opened::new(json!({ "respond": "accepted" })).await;
    for _ in 0..3 {
        assert_eq!(post(server.address, JSON, "1").await.status, 202);
    }
    server.stopping.cancel();
    assert_eq!(server.next().await.unwrap().batch.len(), 3);
    let end = tokio::time::timeout(PATIENCE, server.next()).await;
    assert!(end.expect("there is nothing to wait for").is_none());
}

#[tokio::test]
async fn a_dropped_server_closes_its_connections() {
    let mut server = Opened::new(json!({})).await;
    let mut client = Client::connect(server.address).await;
    client.send(&request("POST", "/events", JSON, b"1")).await;
    let next = server.next().await.unwrap();
    let cx = server.cx.clone();
    drop(server);
    let mut rest = Vec::new();
    // The connection is closed or reset, and does not hang.
    let _ = client.stream.read_to_end(&mut rest).await;
    cx.tasks().joined().await;
    next.done.unwrap()(Outcome::Delivered);
}

#[tokio::test]
async fn an_address_in_use_is_tried_again() {
    let first = Opened::new(json!({})).await;
    let listen = first.address.to_string();
    let mut second = HttpServer::new(options(&json!({ "listen": listen })), PendingRequests::new()).unwrap();
    let error = Source::open(&mut second, &first.cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    assert!(error.message().contains(&listen), "{error}");
}
