//! Child process that loads a library and reports line by line. A crashing library ends only the child.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Failure;
use crate::terminal;

/// Limit of the output of a child, in bytes.
const OUTPUT: u64 = 1 << 30;
/// Limit of messages that wait to be printed.
const QUEUE: usize = 64;

/// Running child that sends messages of `T`. Dropping it kills the child.
pub(crate) struct PluginChild<T> {
    child: Child,
    messages: Option<Receiver<T>>,
    reading: Option<JoinHandle<()>>,
}

/// Result of waiting for a message.
pub(crate) enum ChildMessage<T> {
    /// Message of the child.
    Message(T),
    /// None within the time limit.
    Nothing,
    /// End of the child: the predicate of a sentence whose subject is the library.
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
        let (sender, messages) = sync_channel(QUEUE);
        let stdout = child.stdout.take().expect("it is piped");
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stdout).take(OUTPUT).lines().map_while(Result::ok) {
                let Ok(one) = serde_json::from_str::<T>(&line) else { continue };
                if sender.send(one).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, messages: Some(messages), reading: Some(reading) })
    }
}

impl<T> PluginChild<T> {
    /// Waits for the next message.
    pub(crate) fn next(&mut self, patience: Duration) -> ChildMessage<T> {
        match self.messages.as_ref().map(|messages| messages.recv_timeout(patience)) {
            Some(Ok(message)) => ChildMessage::Message(message),
            Some(Err(RecvTimeoutError::Timeout)) => ChildMessage::Nothing,
            Some(Err(RecvTimeoutError::Disconnected)) | None => ChildMessage::Over(self.death()),
        }
    }

    /// Returns true if the child runs.
    pub(crate) fn is_running(&mut self) -> bool {
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
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        if let Some(reading) = self.reading.take() {
            drop(reading.join());
        }
    }
}

/// Sends a message from the child.
pub(crate) fn send<T: Serialize>(message: &T) -> Result<(), Failure> {
    let line = serde_json::to_string(message).map_err(|error| Failure::failed(error.to_string()))?;
    terminal::out(&format!("{line}\n"))
}
