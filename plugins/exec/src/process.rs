//! A command while it runs, in a process group of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tidegate_sdk::{Class, ConfigError, Cx, Error, Secret};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::ending;
use crate::standard_error::{LastLines, log_lines};

/// What a command gets of Tidegate's own environment.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// How long to wait for the last of a standard error whose writers are all gone, and for a killed process.
const MOMENT: Duration = Duration::from_secs(1);

/// The longest `kill_after`: the engine does not wait for a drain that long.
const LONGEST_END: Duration = Duration::from_secs(3600);

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The program and its arguments.
    words: Vec<String>,
    environment: BTreeMap<String, Secret>,
    folder: Option<PathBuf>,
    /// How long it may take to end when it is asked to.
    pub(crate) kill_after: Duration,
}

impl Command {
    pub(crate) fn new(
        words: Vec<String>,
        environment: BTreeMap<String, Secret>,
        folder: Option<PathBuf>,
        kill_after: Duration,
    ) -> Result<Self, ConfigError> {
        if words.first().is_none_or(String::is_empty) {
            return Err(ConfigError::at("/command", "it names no program")
                .help("write the program and its arguments, such as [\"sh\", \"-c\", \"echo hello\"]"));
        }
        if kill_after > LONGEST_END {
            return Err(ConfigError::at("/kill_after", "a command may take at most an hour to end"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(ConfigError::at("/command", "a word of a command cannot hold a NUL character"));
        }
        for (name, value) in &environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
                return Err(ConfigError::at("/environment", format!("`{name}` cannot be set"))
                    .help("a name holds no `=`, and neither name nor value hold a NUL character"));
            }
        }
        Ok(Self { words, environment, folder, kill_after })
    }

    /// The program, for messages: its arguments may hold secrets.
    pub(crate) fn program(&self) -> &str {
        &self.words[0]
    }

    /// Starts it.
    pub(crate) fn start(&self, cx: &Cx) -> Result<Process, Error> {
        let mut command = tokio::process::Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.environment.iter().map(|(name, value)| (name, value.expose())));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| {
            let place = self.folder.as_ref().map(|folder| format!(" in {}", folder.display()));
            let place = place.unwrap_or_default();
            let class = match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => Class::Misconfigured,
                _ => Class::Retry,
            };
            Error::new(class, format!("`{}` cannot be started{place}: {error}", self.program()))
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let last_lines = LastLines::default();
        let stderr = child.stderr.take();
        let logging =
            stderr.map(|stderr| cx.spawn(log_lines(stderr, cx.component().to_owned(), last_lines.clone())));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Process { child, stdin, stdout, group, last_lines, logging, status: None })
    }
}

/// A command that was started. Dropping it ends it, and whatever it has started in its group, at once.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    group: Option<Pid>,
    last_lines: LastLines,
    logging: Option<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Waits for the command itself to end, then ends what it has left running. May be dropped and called
    /// again.
    pub(crate) async fn ended(&mut self) {
        if self.status.is_none() {
            // An error would mean that someone else has waited for our child; then it is gone as well.
            self.status = self.child.wait().await.ok();
            self.kill();
        }
    }

    /// Whether [`ended`](Self::ended) has seen it end.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Asks the whole group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the whole group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // While a member lives, the kernel does not give the group's number to another; when none does,
        // there is no such group, which is what was wanted.
        let _ = self.group.map(|group| kill_process_group(group, signal));
    }

    /// Ends it: closes its standard input, then asks, then forces. Each may take `kill_after`.
    pub(crate) async fn end(&mut self, kill_after: Duration) {
        self.stdin = None;
        if tokio::time::timeout(kill_after, self.ended()).await.is_err() {
            self.terminate();
            if tokio::time::timeout(kill_after, self.ended()).await.is_err() {
                self.kill();
                let _ = tokio::time::timeout(MOMENT, self.ended()).await;
            }
        }
        self.finish_logging().await;
    }

    /// How it ended and what it said last, for messages. Call it when it has ended.
    pub(crate) async fn epitaph(&mut self) -> String {
        self.finish_logging().await;
        let status = self.status.map_or_else(|| "an unknown status".to_owned(), ending::describe);
        format!("{status}{}", self.last_lines.clause())
    }

    /// What it said last, for messages.
    pub(crate) async fn last_words(&mut self) -> String {
        self.finish_logging().await;
        self.last_lines.clause()
    }

    /// Waits until all of its standard error is read. A process that has left the group may hold it open.
    async fn finish_logging(&mut self) {
        if let Some(mut logging) = self.logging.take()
            && tokio::time::timeout(MOMENT, &mut logging).await.is_err()
        {
            logging.abort();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill();
        }
        if let Some(logging) = &self.logging {
            logging.abort();
        }
    }
}
