use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, Value};
use serde_json::json;
use tempfile::TempDir;
use tidegate_sdk::{Batch, Class, Cx, Delivery, Error, Sink};
pub(crate) use tidegate_servers::free_port;

/// The time limit for each step of a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running redis-server, which ends with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    arguments: Vec<String>,
    pub(crate) folder: TempDir,
}

impl Server {
    /// A server with these options beside those that every test needs, such as `["--requirepass", "x"]`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let port = free_port();
        let mut arguments: Vec<_> = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]
            .iter()
            .map(|text| (*text).to_owned())
            .collect();
        arguments.extend(options.iter().map(|text| (*text).to_owned()));
        Self::run(port, arguments)
    }

    /// A server on `port` with exactly these arguments.
    pub(crate) fn run(port: u16, arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&arguments, &folder);
        let server = Self { child, port, arguments, folder };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        wait_until("the server", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Kills the server and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.arguments, &self.folder);
        self.wait_until_ready();
    }

    /// Sends the process a signal: `STOP` or `CONT`. After `STOP`, the process has stopped.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
        if name == "STOP" {
            wait_until("the process to stop", || tidegate_servers::machine::is_stopped(self.child.id()));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The answer of the server to a command.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        ask_at(&self.url(), command).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(arguments: &[String], folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(arguments)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// The answer of the server at `url` to a command.
pub(crate) fn ask_at<T: FromRedisValue>(url: &str, command: &[&str]) -> redis::RedisResult<T> {
    let mut connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
    let mut question = redis::cmd(command[0]);
    command[1..].iter().for_each(|word| {
        question.arg(*word);
    });
    let answer: Value = question.query(&mut connection)?;
    Ok(T::from_redis_value(answer)?)
}

/// Writes `text` to a file in `folder` and returns its path.
pub(crate) fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The sink with these options, not open yet.
pub(crate) fn sink(options: &serde_json::Value) -> Box<dyn Sink> {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis");
    tidegate_testkit::build_sink(&plugin, options)
}

/// The sink with these options for `server`, open.
pub(crate) async fn open(server: &Server, mut options: serde_json::Value) -> Opened {
    if options.get("url").is_none() {
        options["url"] = json!(server.url());
    }
    let mut opened = Opened::new(&options);
    opened.sink.open(&opened.cx).await.unwrap();
    opened
}

/// A sink and what it runs in.
pub(crate) struct Opened {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) cx: Cx,
}

impl Opened {
    pub(crate) fn new(options: &serde_json::Value) -> Self {
        Self { sink: sink(options), cx: tidegate_testkit::context().0 }
    }

    pub(crate) async fn open(&mut self) -> Result<(), Error> {
        self.sink.open(&self.cx).await
    }

    pub(crate) async fn try_write(&mut self, batch: &Batch) -> Result<Delivery, Error> {
        self.sink.write(batch, &self.cx).await
    }

    pub(crate) async fn write<P: AsRef<[u8]>>(&mut self, payloads: impl IntoIterator<Item = P>) -> Delivery {
        self.try_write(&tidegate_testkit::batch(payloads)).await.unwrap()
    }

    /// Writes payloads that must all be delivered.
    pub(crate) async fn deliver<P: AsRef<[u8]>>(&mut self, payloads: impl IntoIterator<Item = P>) {
        let delivery = self.write(payloads).await;
        assert!(delivery.to_retry().is_none(), "{delivery:?}");
        assert!(delivery.rejected().is_empty(), "{delivery:?}");
    }

    /// Does what the engine does: tries again what was not delivered, until all is.
    pub(crate) async fn deliver_in_the_end(&mut self, batch: &Batch) {
        let start = Instant::now();
        let mut batch = batch.clone();
        loop {
            assert!(start.elapsed() < PATIENCE, "{} events are never delivered", batch.len());
            let left = match self.try_write(&batch).await {
                Ok(delivery) => delivery.to_retry().map(|(events, _)| events.to_vec()),
                Err(_) => Some((0..batch.len()).collect()),
            };
            match left {
                None => return,
                Some(left) => batch = batch.select(left),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Which events are to be tried again, as what class, with what message.
pub(crate) fn again(delivery: &Delivery) -> (Vec<usize>, Class, String) {
    let (events, error) = delivery.to_retry().unwrap_or_else(|| panic!("all is delivered: {delivery:?}"));
    (events.to_vec(), error.class(), error.message().to_owned())
}

/// Which events are rejected.
pub(crate) fn rejected(delivery: &Delivery) -> Vec<usize> {
    delivery.rejected().iter().map(|one| one.event).collect()
}
