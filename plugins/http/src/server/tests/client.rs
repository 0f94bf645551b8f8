//! A client that sends what it is told, byte by byte if need be.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes: a test that hangs fails.
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

    /// What the answer says is wrong.
    pub(super) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    }
}

/// The bytes of a request. `headers` is lines with their ends.
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

    /// The next answer with a body of its announced length.
    pub(super) async fn reply(&mut self) -> Reply {
        self.reply_to("").await
    }

    /// The next answer; one to HEAD has no body.
    pub(super) async fn reply_to(&mut self, method: &str) -> Reply {
        let end = loop {
            match self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => assert!(self.more().await, "closed before an answer: {:?}", self.pending),
            }
        };
        let head = String::from_utf8(self.pending.drain(..end + 4).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            while self.pending.len() < length {
                assert!(self.more().await, "closed within an answer");
            }
            reply.body = String::from_utf8(self.pending.drain(..length).collect()).unwrap();
        }
        reply
    }

    /// Waits until the server has closed, and returns what came before.
    pub(super) async fn rest(mut self) -> String {
        while self.more().await {}
        String::from_utf8(self.pending).unwrap()
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.pending)).await;
        // A reset is an end too.
        read.expect("the server says something").unwrap_or(0) > 0
    }
}

/// One request over a connection of its own.
pub(super) async fn once(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.reply().await
}

/// One POST over a connection of its own.
pub(super) async fn post(address: SocketAddr, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    Client::connect(address).await.post(headers, body).await
}

/// Waits for what a task elsewhere brings about.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} never happened"));
}
