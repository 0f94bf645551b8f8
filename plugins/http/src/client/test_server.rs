//! A server with scripted responses, which records its requests.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tidegate_sdk::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A recorded request.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The number of the connection, from 0.
    pub(crate) connection: usize,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A scripted response.
pub(crate) enum Reply {
    Response {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// Closes the connection without a response.
    HangUp,
    /// Announces a body and closes before its end.
    BreakOff,
    /// Never responds.
    Silence,
}

/// Returns a response with status 200.
pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Reply {
    status(200, body)
}

pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Response { status, headers: Vec::new(), body: body.into() }
}

impl Reply {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Response { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

type Script = Box<dyn FnMut(&ReceivedRequest) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    received: Mutex<Vec<ReceivedRequest>>,
    came: Notify,
}

/// The server, which lives as long as the test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) async fn start(script: impl FnMut(&ReceivedRequest) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Mutex<Script> = Mutex::new(Box::new(script));
        let shared = Arc::new(Shared { script, received: Mutex::default(), came: Notify::new() });
        let (tasks, state) = (Tasks::new(), Arc::clone(&shared));
        drop(tasks.clone().spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                drop(tasks.spawn(serve(stream, connection, Arc::clone(&state))));
            }
        }));
        Self { url, shared }
    }

    /// Returns the requests so far.
    pub(crate) fn received(&self) -> Vec<ReceivedRequest> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Returns the targets of the requests so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.target).collect()
    }

    /// Waits until a request has arrived since the last call.
    pub(crate) async fn came(&self) {
        self.shared.came.notified().await;
    }
}

async fn serve(stream: TcpStream, connection: usize, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read(&mut stream).await {
        request.connection = connection;
        let reply = shared.script.lock().unwrap()(&request);
        shared.received.lock().unwrap().push(request);
        shared.came.notify_one();
        match reply {
            Reply::Response { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if !matches!(status, 204 | 304) {
                    head.push_str(&format!("content-length: {}\r\n", body.len()));
                }
                head.push_str("\r\n");
                let response = [head.as_bytes(), &body].concat();
                if stream.write_all(&response).await.is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::HangUp => return,
            Reply::BreakOff => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1,").await;
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let mut request = ReceivedRequest::default();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    request.method = words.next()?.into();
    request.target = words.next()?.into();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().into()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// Compresses `text` with gzip.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

/// Merges `options` into `defaults`.
pub(crate) fn with_options(defaults: Value, options: Value) -> Value {
    match (defaults, options) {
        (Value::Object(mut all), Value::Object(more)) => {
            all.extend(more);
            Value::Object(all)
        }
        _ => panic!("options are objects"),
    }
}
