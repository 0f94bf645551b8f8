//! Sends the same POST repeatedly over persistent connections, with one request in flight on each.
//!
//!     http_load PORT CONNECTIONS REQUESTS BODY_FILE CONTENT_TYPE
//!
//! Prints the duration in seconds, and the median, 99th percentile and maximum latency in microseconds. Any response
//! except 200 ends it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, requests, body, content_type] = arguments.as_slice() else {
        return Err("usage: http_load PORT CONNECTIONS REQUESTS BODY_FILE CONTENT_TYPE".into());
    };
    let body = std::fs::read(body)?;
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request: Arc<[u8]> = [head.as_bytes(), &body].concat().into();
    let left = Arc::new(AtomicI64::new(requests.parse()?));
    let began = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..connections.parse()? {
        let stream = TcpStream::connect(("127.0.0.1", port.parse::<u16>()?)).await?;
        stream.set_nodelay(true)?;
        clients.push(tokio::spawn(client(stream, Arc::clone(&request), Arc::clone(&left))));
    }
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    println!("{seconds} {} {} {}", at(0.5), at(0.99), at(1.0));
    Ok(())
}

/// Sends requests on one connection until all are sent. Returns their latencies.
async fn client(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    left: Arc<AtomicI64>,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let mut answer = Vec::with_capacity(4096);
    while left.fetch_sub(1, Ordering::Relaxed) > 0 {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        answer.clear();
        while !is_complete(&answer)? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        times.push(sent.elapsed());
    }
    Ok(times)
}

/// True if a response is complete: the head, and the announced number of bytes.
fn is_complete(answer: &[u8]) -> Result<bool, Failure> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(answer)?;
    if !text.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the server answered: {text}").into());
    }
    let length = text[..end].lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Ok(answer.len() - end - 4 >= length.ok_or("the answer has no content-length")??)
}
