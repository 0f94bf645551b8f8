//! An HTTP/1.1 server with scripted responses, which records the requests.
//!
//! It uses a real socket on a free port of the loopback interface. Responses can be delayed, withheld or cut.

mod exchange;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time limit of [`Server::wait_for`].
const PATIENCE: Duration = Duration::from_secs(20);

/// A received request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The path with its query, such as `/users?page=2`.
    pub target: String,
    /// The headers, in order, with the spelling of the client.
    pub headers: Vec<(String, String)>,
    /// The whole body; a chunked body is reassembled.
    pub body: Vec<u8>,
    /// The number of its connection, counted from 0.
    pub connection: u64,
}

impl Request {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The raw value of a parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    }

    /// The body as text, bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A scripted response.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The whole response; the connection stays open.
    Whole,
    /// This number of bytes of the response (head and body), then the connection is closed.
    Cut(usize),
    /// No response; the connection stays open.
    Silence,
}

impl Answer {
    /// A response of this status with an empty body.
    pub fn status(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { status, headers, body, delay: Duration::ZERO, ending: Ending::Whole }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// 200 with this JSON text, and the content type for it.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::ok(body).header("Content-Type", "application/json")
    }

    /// No response; the connection stays open.
    pub fn silence() -> Self {
        Self { ending: Ending::Silence, ..Self::status(200) }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds `Retry-After: SECONDS`.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("Retry-After", seconds)
    }

    /// Delays the response. It is not sent if the server ends before.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Closes the connection after the first `bytes` bytes of head and body; with 0, without a response.
    #[must_use]
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { ending: Ending::Cut(bytes), ..self }
    }
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

struct State {
    requests: Vec<Request>,
    open: HashMap<u64, TcpStream>,
    connections: u64,
    threads: Vec<JoinHandle<()>>,
    ending: bool,
}

struct Shared {
    script: Box<Script>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A panic of the script must not turn into a poisoned lock elsewhere.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server. Dropping it ends it, and rethrows a panic of its script.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that responds to each request with the result of `script`.
    ///
    /// # Panics
    /// If the loopback has no free port.
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State {
            requests: Vec::new(),
            open: HashMap::new(),
            connections: 0,
            threads: Vec::new(),
            ending: false,
        };
        let shared =
            Arc::new(Shared { script: Box::new(script), state: Mutex::new(state), changed: Condvar::new() });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Starts a server that sends these responses, one for each request, and repeats the last one.
    ///
    /// # Panics
    /// If there is no response.
    pub fn scripted(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a script has at least one answer");
        let next = Mutex::new(0);
        Self::start(move |_| {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            answers[(*next - 1).min(answers.len() - 1)].clone()
        })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it: `url("/users")`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Waits for `count` requests and returns all requests so far. It blocks: an async test needs a runtime with several
    /// threads if other tasks have to run meanwhile.
    ///
    /// # Panics
    /// If they do not arrive within 20 seconds.
    pub fn wait_for(&self, count: usize) -> Vec<Request> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while state.requests.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests came within {PATIENCE:?}", state.requests.len());
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.requests.clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Closes all open connections; new ones are still accepted.
    pub fn cut_connections(&self) {
        for stream in self.shared.state().open.values() {
            // The client may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.state().ending = true;
        self.shared.changed.notify_all();
        self.cut_connections();
        // Wakes the acceptor, which then ends.
        let _ = TcpStream::connect(self.address);
        let acceptor = self.acceptor.take().map(JoinHandle::join);
        let threads = std::mem::take(&mut self.shared.state().threads);
        let mut ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        ended.extend(acceptor);
        if let Some(panic) = ended.into_iter().find_map(Result::err)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let mut state = shared.state();
        if state.ending {
            return;
        }
        let number = state.connections;
        state.connections += 1;
        if let Ok(stream) = stream.try_clone() {
            state.open.insert(number, stream);
        }
        let thread = std::thread::spawn({
            let shared = Arc::clone(shared);
            move || {
                let _open = Open { number, stream: &stream, shared: &shared };
                serve(&stream, number, &shared);
            }
        });
        state.threads.push(thread);
    }
}

/// Serves one connection until either side closes it.
fn serve(stream: &TcpStream, connection: u64, shared: &Shared) {
    let mut reader = std::io::BufReader::new(stream);
    while let Some(request) = exchange::read_request(&mut reader, connection) {
        shared.state().requests.push(request.clone());
        shared.changed.notify_all();
        let answer = (shared.script)(&request);
        let pause = match answer.ending {
            Ending::Silence => Duration::MAX,
            _ => answer.delay,
        };
        if !pause_unless_ending(shared, pause) || !exchange::write_answer(stream, &request, &answer) {
            break;
        }
    }
}

/// Closes the connection at the end, also after a panic of the script, so that the client does not wait for ever.
struct Open<'a> {
    number: u64,
    stream: &'a TcpStream,
    shared: &'a Shared,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.state().open.remove(&self.number);
    }
}

/// Waits; false if the server ends meanwhile.
fn pause_unless_ending(shared: &Shared, pause: Duration) -> bool {
    let deadline = Instant::now().checked_add(pause);
    let mut state = shared.state();
    while !state.ending {
        let left = deadline.map_or(PATIENCE, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return true;
        }
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    false
}
