//! A child of this program that looks at a library, and says what it finds line by line: a library that crashes ends the
//! child and not the verdict.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Failure;
use crate::terminal;

/// All that a child may say, in bytes.
const OUTPUT: u64 = 1 << 30;
/// How many messages may wait to be shown.
const QUEUE: usize = 64;

/// The child, and what it says: messages of `T`. Dropping it ends it.
pub(crate) struct PluginChild<T> {
    child: Child,
    messages: Option<Receiver<T>>,
    reading: Option<JoinHandle<()>>,
}

/// What came of waiting for a message.
pub(crate) enum Said<T> {
    /// This.
    Message(T),
    /// It is there, and said nothing for so long.
    Nothing,
    /// It is over: how, as the end of a sentence that begins with the library.
    Over(String),
}

impl<T: DeserializeOwned + Send + 'static> PluginChild<T> {
    /// Starts this program as `plugin-host` with the arguments that `add` adds.
    pub(crate) fn start(add: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
        let mut command = Command::new(program);
        command.arg("plugin-host");
        add(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|error| Failure::failed(format!("no process can be started: {error}")))?;
        let (told, messages) = sync_channel(QUEUE);
        let stdout = child.stdout.take().expect("it is piped");
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stdout).take(OUTPUT).lines().map_while(Result::ok) {
                let Ok(one) = serde_json::from_str::<T>(&line) else { continue };
                if told.send(one).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, messages: Some(messages), reading: Some(reading) })
    }
}

impl<T> PluginChild<T> {
    /// Waits for what it says next.
    pub(crate) fn next(&mut self, patience: Duration) -> Said<T> {
        match self.messages.as_ref().map(|messages| messages.recv_timeout(patience)) {
            Some(Ok(message)) => Said::Message(message),
            Some(Err(RecvTimeoutError::Timeout)) => Said::Nothing,
            Some(Err(RecvTimeoutError::Disconnected)) | None => Said::Over(self.death()),
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_there(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    fn death(&mut self) -> String {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            match self.child.try_wait() {
                Ok(Some(status)) => return tidegate_loader::death(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        "closed the output of its process".into()
    }
}

impl<T> Drop for PluginChild<T> {
    fn drop(&mut self) {
        self.messages = None;
        let _it_may_be_over = self.child.kill();
        let _it_is_over = self.child.wait();
        if let Some(reading) = self.reading.take() {
            drop(reading.join());
        }
    }
}

/// What the child does to say something.
pub(crate) fn tell<T: Serialize>(told: &T) -> Result<(), Failure> {
    let line = serde_json::to_string(told).map_err(|error| Failure::failed(error.to_string()))?;
    terminal::out(&format!("{line}\n"))
}
