//! Slow clients, large requests and many connections.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::client::{Client, PATIENCE, post, request, until};
use super::driver::{Driven, Opened};
use crate::coding::Coding;

const JSON: &str = "content-type: application/json\r\n";
const GZIP: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn silence_is_ended_in_every_phase() {
    let long = "1h";
    let cases = [
        ("first_byte_time", b"".as_slice(), ""),
        ("header_time", b"POST /events HTTP/1.1\r\nhost:", ""),
        ("idle_time", b"OPTIONS /events HTTP/1.1\r\nhost: localhost\r\n\r\n", "HTTP/1.1 204"),
        (
            "body_time",
            b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n12",
            "HTTP/1.1 408",
        ),
    ];
    for (limit, sent, response) in cases {
        let mut options = json!({
            "first_byte_time": long, "header_time": long, "idle_time": long, "body_time": long
        });
        options[limit] = "50ms".into();
        let server = Driven::delivering(options).await;
        let mut client = Client::connect(server.address).await;
        client.send(sent).await;
        let rest = client.rest().await;
        assert!(rest.starts_with(response) && rest.is_empty() == response.is_empty(), "{limit}: {rest}");
        assert!(server.entered().is_empty());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_ended() {
    let server = Driven::delivering(json!({ "header_time": "80ms" })).await;
    let client = Client::connect(server.address).await;
    let (mut reading, mut writing) = client.stream.into_split();
    // Each byte arrives within the limit, but the whole head does not.
    let trickle = async {
        for byte in b"POST /events HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let mut seen = Vec::new();
    tokio::select! {
        () = trickle => {}
        _ = reading.read_to_end(&mut seen) => {}
    }
    assert!(seen.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_body_below_the_rate_is_given_up() {
    let server = Driven::delivering(json!({ "first_byte_time": "50ms", "body_rate": "1MiB" })).await;
    let mut client = Client::connect(server.address).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n123").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    assert!(reply.error().contains("too slowly"));
    assert_eq!(client.rest().await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_ended() {
    let server = Driven::echoing(json!({ "write_time": "50ms" })).await;
    let mut client = Client::connect(server.address).await;
    let bytes = request("POST", "/events", JSON, format!("\"{}\"", "x".repeat(500 << 10)).as_bytes());
    // Unread responses fill the send buffer of the server, until it gives up.
    let flood = async {
        loop {
            if let Err(error) = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &bytes).await {
                break error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, flood).await.expect("the server gives up");
    let kinds = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error}");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_body_in_several_codings_is_decoded_and_an_unknown_one_is_refused() {
    let server = Driven::delivering(json!({ "inflated_size": "1MiB" })).await;
    let encode =
        |codings: &[Coding]| codings.iter().fold(b"[1]".to_vec(), |body, one| one.encode(&body).unwrap());
    let cases: [(&str, &[Coding]); 6] = [
        ("deflate", &[Coding::Deflate]),
        ("zstd", &[Coding::Zstd]),
        ("X-GZIP", &[Coding::Gzip]),
        ("gzip, identity, , zstd", &[Coding::Gzip, Coding::Zstd]),
        ("deflate\r\ncontent-encoding: gzip", &[Coding::Deflate, Coding::Gzip]),
        ("identity", &[]),
    ];
    for (number, (header, codings)) in cases.into_iter().enumerate() {
        let headers = format!("content-type: application/json\r\ncontent-encoding: {header}\r\n");
        let reply = post(server.address, &headers, encode(codings)).await;
        assert_eq!(reply.status, 200, "{header}: {reply:?}");
        assert_eq!(server.entered().len(), number + 1, "{header}");
    }
    // `[1]` in `br`, as one uncompressed piece. No dependency can encode it.
    let br = [0x0b, 0x01, 0x80, b'[', b'1', b']', 0x03];
    let reply = post(server.address, "content-type: application/json\r\ncontent-encoding: br\r\n", br).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for unknown in ["compress", "gzip, aws-chunked", "gzip;q=1", "gzip,gzip,gzip,gzip,gzip"] {
        let reply = post(server.address, &format!("content-encoding: {unknown}\r\n"), "x").await;
        assert_eq!((reply.status, reply.header("accept-encoding")), (415, Some(crate::coding::ACCEPTED)));
    }
    let bomb = Coding::Zstd.encode(&vec![b' '; 64 << 20]).unwrap();
    assert_eq!(post(server.address, "content-encoding: zstd\r\n", bomb).await.status, 413);
    assert_eq!(server.entered().len(), 7);
    server.stop().await;
}

#[tokio::test]
async fn gzip_is_undone_within_its_limit() {
    let server = Driven::delivering(json!({ "inflated_size": "1MiB" })).await;
    assert_eq!(post(server.address, GZIP, gzip(b"[1,2]")).await.status, 200);
    assert_eq!(server.entered(), ["1", "2"]);

    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let reply = post(server.address, GZIP, &bomb).await;
    assert_eq!(reply.status, 413);
    assert!(reply.error().contains("1MiB when inflated"), "{}", reply.error());

    let whole = gzip(b"[1,2]");
    for broken in [&b"[1,2]"[..], &whole[..whole.len() - 3], &whole[..5]] {
        let reply = post(server.address, GZIP, broken).await;
        assert_eq!(reply.status, 400);
        assert!(reply.error().contains("not gzip"), "{}", reply.error());
    }
    assert_eq!(server.entered().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_queue_get_503() {
    let mut server = Opened::new(json!({ "waiting": 3, "respond": "accepted" })).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..3 {
        assert_eq!(client.post(JSON, "1").await.status, 202);
    }
    for _ in 0..100 {
        let reply = client.post(JSON, "1").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        reply.error();
    }
    assert_eq!(server.next().await.unwrap().batch.len(), 3);
    assert_eq!(client.post(JSON, "1").await.status, 202, "once there is room again");
}

#[tokio::test]
async fn a_flood_of_bytes_stays_within_the_budget() {
    let server = Opened::new(json!({ "waiting_size": "1MiB", "respond": "accepted" })).await;
    let budget = server.source.budget();
    let body = format!("\"{}\"", "x".repeat(300 << 10));
    let flood = (0..40).map(|_| post(server.address, JSON, &body));
    let statuses: Vec<u16> =
        futures_util::future::join_all(flood).await.into_iter().map(|reply| reply.status).collect();
    let taken = statuses.iter().filter(|status| **status == 202).count();
    assert!((1..=3).contains(&taken), "{statuses:?}");
    assert!(statuses.iter().all(|status| [202, 503].contains(status)), "{statuses:?}");
    assert!(budget.used() <= 1 << 20);
    let compressed = gzip(&vec![b' '; 8 << 20]);
    assert_eq!(post(server.address, GZIP, compressed).await.status, 503, "inflated bytes count too");
    drop(server);
    until("the queue is let go of", || budget.used() == 0).await;
}

#[tokio::test]
async fn connections_above_the_limit_are_turned_away() {
    for options in [json!({ "connections": 2 }), json!({ "connections_per_address": 2 })] {
        let server = Driven::delivering(options).await;
        let mut kept = [Client::connect(server.address).await, Client::connect(server.address).await];
        for client in &mut kept {
            assert_eq!(client.post(JSON, "1").await.status, 200);
        }
        let mut third = Client::connect(server.address).await;
        third.send(&request("POST", "/events", JSON, b"1")).await;
        let reply = third.reply().await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        reply.error();
        assert_eq!(third.rest().await, "");
        drop(kept);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stalled_pipeline_leaves_no_client_without_a_response() {
    let mut server = Opened::new(json!({ "waiting": 2, "time_limit": "50ms" })).await;
    let flood = (0..20).map(|_| post(server.address, JSON, "1"));
    let replies = futures_util::future::join_all(flood).await;
    assert!(replies.iter().all(|reply| [503, 504].contains(&reply.status)), "{replies:?}");
    // The clients of the queued requests already have their responses.
    server.stopping.cancel();
    assert!(server.next().await.is_none());
}
