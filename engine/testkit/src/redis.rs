//! A real Redis server of a test's own: on a free port, in a folder that goes with it, to be stopped, killed,
//! paused and started again.

mod client;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use client::Client;
pub use client::Reply;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often another port is tried when one was taken between looking and starting.
const PORTS: usize = 20;

/// A running (or stopped) `redis-server`, found in `PATH`. It ends when this is dropped.
///
/// Nothing is written to disk unless asked for: [`Redis::start_with`] takes settings such as
/// `["--appendonly", "yes", "--appendfsync", "always"]`.
pub struct Redis {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// A server that keeps nothing.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with settings as on its command line, such as `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server can be made");
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut redis = Self { folder, port: 0, settings, child: None };
        for _ in 0..PORTS {
            redis.port = free_port();
            if redis.launch() {
                return redis;
            }
        }
        panic!("redis-server does not start; its log: {}", redis.log());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The folder that it keeps its files in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The answer to a command: `redis.query(["XLEN", "users"])`. An error of the server is
    /// [`Reply::Error`].
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn query<A: AsRef<[u8]>>(&self, command: impl IntoIterator<Item = A>) -> Reply {
        let command: Vec<A> = command.into_iter().collect();
        let answer = self.client().and_then(|mut client| client.query(&command));
        answer.unwrap_or_else(|error| panic!("redis does not answer: {error}"))
    }

    /// The answers to commands that are sent together.
    ///
    /// # Errors
    /// If the server does not answer all of them, because it was killed.
    pub fn pipeline<A: AsRef<[u8]>>(&self, commands: &[Vec<A>]) -> std::io::Result<Vec<Reply>> {
        self.client()?.pipeline(commands)
    }

    /// Ends it in order (SIGTERM), as an operator would; what it is to keep, it writes first.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn unpause(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again on the same port and folder; it is killed first if it runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        // The port may be held for a moment by another test that looked for a free one.
        while !self.launch() {
            assert!(Instant::now() < deadline, "redis-server does not start again: {}", self.log());
        }
    }

    fn client(&self) -> std::io::Result<Client> {
        let password = self.settings.iter().position(|setting| setting == "--requirepass");
        let password = password.and_then(|at| self.settings.get(at + 1));
        Client::connect(self.address(), password.map(String::as_str))
    }

    /// Starts the process and waits until it answers; false if it ended instead.
    fn launch(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--daemonize", "no", "--logfile", "log"])
            .args(&self.settings)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = self.child.insert(command.spawn().expect("redis-server is in PATH"));
        let process = format!("process_id:{}\r\n", child.id());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return false;
            }
            // Another server may have taken the port in between, so the one that answers must be this one.
            // While it reads what it kept, it answers `LOADING`.
            let ready = self.client().and_then(|mut client| {
                let information = client.query(&["INFO", "server"])?;
                Ok(information.text().contains(&process)
                    && !matches!(client.query(&["DBSIZE"])?, Reply::Error(_)))
            });
            if ready.unwrap_or(false) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    fn signal(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        // A server that has ended by itself cannot be signalled, and need not be: it is not waited for yet,
        // so its id is still its own.
        let _ = kill_process(Pid::from_child(child), signal);
    }

    fn wait(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
