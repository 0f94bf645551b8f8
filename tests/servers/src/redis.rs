//! A real Redis server for one test: on a free port, with a temporary folder. A test can stop, kill, pause and restart it.

mod client;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use client::Client;
pub use client::Reply;

use crate::free_port;
use crate::machine::is_stopped;

/// Time limit for a server to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Number of ports to try, in case another process takes a port before the server binds it.
const PORTS: usize = 20;

/// A running or stopped `redis-server`, found in `PATH`. Killed when this is dropped.
///
/// Without settings it writes nothing to disk: [`Redis::start_with`] takes settings such as
/// `["--appendonly", "yes", "--appendfsync", "always"]`.
pub struct Redis {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server without persistence.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with command line settings, such as `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
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

    /// The address on which it listens.
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

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The reply to a command: `redis.query(["XLEN", "users"])`. An error reply is [`Reply::Error`].
    ///
    /// # Panics
    /// If the server does not reply.
    pub fn query<A: AsRef<[u8]>>(&self, command: impl IntoIterator<Item = A>) -> Reply {
        let command: Vec<A> = command.into_iter().collect();
        let answer = self.client().and_then(|mut client| client.query(&command));
        answer.unwrap_or_else(|error| panic!("redis does not answer: {error}"))
    }

    /// The replies to commands that are sent together.
    ///
    /// # Errors
    /// If the server does not reply to all of them, because it was killed.
    pub fn pipeline<A: AsRef<[u8]>>(&self, commands: &[Vec<A>]) -> std::io::Result<Vec<Reply>> {
        self.client()?.pipeline(commands)
    }

    /// Shuts it down (SIGTERM), as an operator would; it saves its data first if it persists any.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// Kills it (SIGKILL), like a crash.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Freezes it (SIGSTOP): connections stay open without replies.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let Some(child) = &self.child else { return };
        let deadline = Instant::now() + PATIENCE;
        while !is_stopped(child.id()) {
            assert!(Instant::now() < deadline, "redis-server does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Continues it after [`pause`](Self::pause).
    pub fn unpause(&self) {
        self.signal(Signal::CONT);
    }

    /// Restarts it on the same port and folder; kills it first if it runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        // Another test that looks for a free port may hold this one for a moment.
        while !self.launch() {
            assert!(Instant::now() < deadline, "redis-server does not start again: {}", self.log());
        }
    }

    fn client(&self) -> std::io::Result<Client> {
        let password = self.settings.iter().position(|setting| setting == "--requirepass");
        let password = password.and_then(|at| self.settings.get(at + 1));
        Client::connect(self.address(), password.map(String::as_str))
    }

    /// Starts the process and waits until it replies; false if it ended instead.
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
            // Another server may have taken the port meanwhile, so the process id must be that of this one.
            // While it loads its data, it replies `LOADING`.
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
        // A server that has ended cannot be signalled. Its process id is not reused, because it is not waited for yet.
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
