//! A client that sends given bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A limit longer than any test takes, so that a test that hangs fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Client {
    pub(super) stream: TcpStream,
    pending: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// Returns the error of the response.
    pub(super) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    }
}

/// Returns the bytes of a request. `headers` are lines with line ends.
pub(super) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), pending: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn post(&mut self, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send(&request("POST", "/events", headers, body.as_ref())).await;
        self.reply().await
    }

    /// Reads the next response, with a body of its announced length.
    pub(super) async fn reply(&mut self) -> Reply {
        self.reply_to("").await
    }

    /// Reads the next response. A response to HEAD has no body.
    pub(super) async fn reply_to(&mut self, method: &str) -> Reply {
        let end = loop {
            match self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => assert!(self.more().await, "closed before a response: {:?}", self.pending),
            }
        };
        let head = String::from_utf8(self.pending.drain(..end + 4).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            while self.pending.len() < length {
                assert!(self.more().await, "closed within a response");
            }
            reply.body = String::from_utf8(self.pending.drain(..length).collect()).unwrap();
        }
        reply
    }

    /// Waits until the server has closed the connection, and returns the bytes before that.
    pub(super) async fn rest(mut self) -> String {
        while self.more().await {}
        String::from_utf8(self.pending).unwrap()
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.pending)).await;
        // A reset counts as the end.
        read.expect("the server says something").unwrap_or(0) > 0
    }
}

/// Sends one request over a new connection.
pub(super) async fn once(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.reply().await
}

/// Sends one POST over a new connection.
pub(super) async fn post(address: SocketAddr, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    Client::connect(address).await.post(headers, body).await
}

/// Waits until another task fulfils the condition.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} never happened"));
}
