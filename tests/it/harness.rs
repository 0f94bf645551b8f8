//! Starts the binary, reads its log, and sends it HTTP requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) use tidegate_servers::free_port;

/// Time limit of every wait in these tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The root of the repository, where every command runs.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A command line of the binary, with its own data folder.
pub(crate) struct Tidegate {
    command: Command,
    data: Option<tempfile::TempDir>,
}

/// The result of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running process. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Log>,
    stdout: Option<std::thread::JoinHandle<String>>,
    /// Standard input, if it stays open.
    _stdin: Option<ChildStdin>,
    _data: Option<tempfile::TempDir>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Tidegate {
    /// The binary with these arguments.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(root()).env_remove("TIDEGATE_LOG").env("NO_COLOR", "1");
        Self { command, data: None }
    }

    /// Another program, such as a tracer of the binary.
    pub(crate) fn other(program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root()).env_remove("TIDEGATE_LOG").env("NO_COLOR", "1");
        Self { command, data: None }
    }

    /// `run` of these pipeline files, with its own data folder.
    pub(crate) fn run(paths: &[&Path]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut call = Self::new(&["run"]);
        call.command.args(paths).arg("--data-dir").arg(data.path());
        call.data = Some(data);
        call
    }

    /// `run` of one pipeline, written to a file.
    pub(crate) fn pipeline(text: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        let mut call = Self::new(&["run"]);
        call.command.arg(&path).arg("--data-dir").arg(data.path().join("data"));
        call.data = Some(data);
        call
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs in this folder instead of the root of the repository.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs to the end.
    pub(crate) fn end(self) -> Ended {
        self.end_with(&[])
    }

    /// Runs to the end with `input` on standard input.
    pub(crate) fn end_with(self, input: &[u8]) -> Ended {
        let mut running = self.start_with(input);
        running.end()
    }

    /// Starts with an empty standard input.
    pub(crate) fn start(self) -> Running {
        self.start_with(&[])
    }

    /// Starts with a standard input that stays open and empty.
    pub(crate) fn start_open(self) -> Running {
        self.spawn(None)
    }

    /// Starts, with `input` on standard input.
    pub(crate) fn start_with(self, input: &[u8]) -> Running {
        self.spawn(Some(input))
    }

    fn spawn(mut self, input: Option<&[u8]>) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let kept = match input.map(<[u8]>::to_vec) {
            Some(input) => {
                // The program may have closed its input.
                std::thread::spawn(move || drop(stdin.write_all(&input)));
                None
            }
            None => Some(stdin),
        };
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Log::default());
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                sink.lines.lock().unwrap().0.push(String::from_utf8_lossy(&line).into_owned());
                sink.more.notify_all();
            }
            sink.lines.lock().unwrap().1 = true;
            sink.more.notify_all();
        });
        Running { child, log, stdout: Some(stdout), _stdin: kept, _data: self.data }
    }
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard error that holds `text`, and returns it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(1, text)
    }

    /// Waits for the Nth line on standard error that holds `text`, counted from 1, and returns it.
    pub(crate) fn wait_for_nth(&self, number: usize, text: &str) -> String {
        let until = Instant::now() + LIMIT;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().filter(|line| line.contains(text)).nth(number - 1) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !lines.1, "`{text}` never came:\n{}", lines.0.join("\n"));
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The address in a line that holds `text`, such as `admin listening on 127.0.0.1:1234`.
    pub(crate) fn address(&self, text: &str) -> SocketAddr {
        let line = self.wait_for(text);
        let start = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
        let end =
            line[start + 10..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |at| start + 10 + at);
        line[start..end].parse().unwrap()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the process to end.
    pub(crate) fn end(&mut self) -> Ended {
        let until = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                panic!("it does not end:\n{}", self.log.lines.lock().unwrap().0.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let mut lines = self.log.lines.lock().unwrap();
        while !lines.1 {
            lines = self.log.more.wait(lines).unwrap();
        }
        Ended { code: status.code().unwrap_or(-1), stdout, stderr: lines.0.join("\n") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Fails the test unless the exit code is this.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stderr:\n{}", self.stderr);
        self
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request on its own connection. `request` is such as `"GET /path"`.
pub(crate) fn http(address: SocketAddr, request: &str, content_type: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    if !body.is_empty() {
        head += &format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
    let chunked = headers.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status: status.expect("a status line"), body }
}

fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        whole += &tail[..size];
        rest = tail.get(size + 2..).unwrap_or_default();
    }
    whole
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
