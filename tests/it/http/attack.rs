//! An HTTP endpoint under attack: an honest client is served, and memory stays flat.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{LIMIT, Tidegate, free_port, http, until};

const PIPELINE: &str = r#"
    [source.events]
    plugin = "http_server"
    listen = "ADDRESS"
    path = "/events"
    first_byte_time = "1s"
    header_time = "1s"
    body_time = "1s"
    connections = 100
    waiting = 20
    waiting_size = "4MiB"
    [sink.slow]
    plugin = "blackhole"
    rate = 400
    batch = { events = 10 }
"#;

/// Point at which a slow client stops sending.
const HALVES: [&[u8]; 3] = [
    b"",
    b"POST /events HTTP/1.1\r\nhost:",
    b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n12",
];

/// Opens connections that send half a request, until `stop`. Each waits for the server to close it.
fn slow_client(address: SocketAddr, half: &[u8], stop: &AtomicBool, ended: &AtomicUsize) {
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // Both may fail, because the server closes such connections.
        let _ = stream.write_all(half);
        if stream.read_to_end(&mut Vec::new()).is_ok() {
            ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Sends large requests and closes without waiting for a response, until `stop`.
fn flooding_client(address: SocketAddr, stop: &AtomicBool, sent: &AtomicUsize) {
    let body = "x".repeat(100 << 10);
    let request =
        format!("POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.write_all(request.as_bytes());
        sent.fetch_add(1, Ordering::SeqCst);
    }
}

/// The status of the response to one small request, if there is one.
fn honest(server: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request =
        b"POST /events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 6\r\n\r\nhonest";
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    // A reset after the response does not invalidate it.
    let _ = stream.read_to_end(&mut answer);
    let status = answer.get(9..12)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// Stops the attackers, also if the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_honest_client_is_served_under_attack() {
    // Two lines of the log hold an address; this one is of the endpoint.
    let server = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let pipeline = PIPELINE.replace("ADDRESS", &server.to_string());
    let mut running = Tidegate::pipeline(&pipeline).arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin listening on");
    until("it is ready", || http(admin, "GET /readyz", "", b"").status == 200);
    running.wait_for(&format!("listening on {server}"));
    let (stop, ended, sent) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Ends the attack, also if the test fails.
        let _stops = Stops(&stop);
        for half in HALVES {
            for _ in 0..10 {
                scope.spawn(|| slow_client(server, half, &stop, &ended));
            }
        }
        for _ in 0..4 {
            scope.spawn(|| flooding_client(server, &stop, &sent));
        }
        // The attack is at full strength: connections of each kind were closed, and the flood has begun.
        until("the attack is on", || {
            ended.load(Ordering::SeqCst) >= 30 && sent.load(Ordering::SeqCst) >= 200
        });
        let before = running.resident();
        let mut served = 0;
        until("an honest client is served ten times", || {
            assert_eq!(http(admin, "GET /readyz", "", b"").status, 200, "readiness is reported under attack");
            // A client that gets 503, or a closed connection, tries again, as an
            // honest client does.
            let status = honest(server);
            assert!(matches!(status, None | Some(200 | 503)), "{status:?}");
            served += usize::from(status == Some(200));
            served >= 10
        });
        let grown = running.resident().saturating_sub(before);
        assert!(grown < 64 << 20, "memory grew by {grown} bytes under attack");
    });
    until("it is served as before", || honest(server) == Some(200));
    running.signal("TERM");
    running.end().expect(0);
}
