//! Running command, in a process group of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tidegate_sdk::{Class, ConfigError, ConfigErrors, Cx, Error, Secret};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::exit;
use crate::standard_error::{LastLines, log_lines};

/// The variables that a command inherits from the engine's environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// The time for the last output of a command whose group was killed, and for a killed process to be reaped. A
/// process that left the group may hold its output open for longer.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// The longest `kill_after`. The engine does not wait for a drain that long.
const LONGEST_KILL_AFTER: Duration = Duration::from_secs(3600);

/// A command line with its environment, checked.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The program and its arguments.
    words: Vec<String>,
    environment: BTreeMap<String, Secret>,
    folder: Option<PathBuf>,
    /// The time that the command has to end after it was asked to.
    pub(crate) kill_after: Duration,
}

impl Command {
    pub(crate) fn new(
        words: Vec<String>,
        environment: BTreeMap<String, Secret>,
        folder: Option<PathBuf>,
        kill_after: Duration,
    ) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        if words.first().is_none_or(String::is_empty) {
            errors.push(
                ConfigError::at("/command", "it names no program")
                    .help("write the program and its arguments, such as [\"sh\", \"-c\", \"echo hello\"]"),
            );
        }
        if kill_after > LONGEST_KILL_AFTER {
            errors.push(ConfigError::at("/kill_after", "a command may take at most an hour to end"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            errors.push(ConfigError::at("/command", "a word of a command cannot hold a NUL character"));
        }
        for (name, value) in &environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
                errors.push(
                    ConfigError::at("/environment", format!("`{name}` cannot be set"))
                        .help("a name holds no `=`, and neither name nor value hold a NUL character"),
                );
            }
        }
        if folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            errors.push(
                ConfigError::at("/folder", "it names no folder")
                    .help("leave it out for the folder that Tidegate was started in"),
            );
        }
        errors.finish(Self { words, environment, folder, kill_after })
    }

    /// The program, for messages. Its arguments may hold secrets.
    pub(crate) fn program(&self) -> &str {
        &self.words[0]
    }

    /// Spawns the command.
    pub(crate) fn start(&self, cx: &Cx) -> Result<Process, Error> {
        let mut command = tokio::process::Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
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

/// A spawned command. Dropping it kills the command and everything in its process group.
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
    /// Waits until the command itself has ended, then kills the rest of its group. Cancel safe.
    pub(crate) async fn ended(&mut self) {
        if self.status.is_none() {
            // An error means that the child was reaped elsewhere, so it is gone as well.
            self.status = self.child.wait().await.ok();
            self.kill();
        }
    }

    /// The exit status, once [`ended`](Self::ended) has returned.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Sends SIGTERM to the group.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL to the group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The kernel does not reuse the number of a group that has a member. An error means that the group has
        // no member left.
        let _ = self.group.map(|group| kill_process_group(group, signal));
    }

    /// Ends the command: closes its standard input, then sends SIGTERM, then SIGKILL, `kill_after` apart.
    pub(crate) async fn end(&mut self, kill_after: Duration) {
        self.stdin = None;
        if tokio::time::timeout(kill_after, self.ended()).await.is_err() {
            self.terminate();
            if tokio::time::timeout(kill_after, self.ended()).await.is_err() {
                self.kill();
                let _ = tokio::time::timeout(GRACE, self.ended()).await;
            }
        }
        self.finish_logging().await;
    }

    /// The exit status and the last lines of standard error, for messages. Call it after the command has ended.
    pub(crate) async fn exit_message(&mut self) -> String {
        self.finish_logging().await;
        let status = self.status.map_or_else(|| "an unknown status".to_owned(), exit::describe);
        format!("{status}{}", self.last_lines.clause())
    }

    /// The last lines of standard error, as a clause for messages.
    pub(crate) async fn stderr_clause(&mut self) -> String {
        self.finish_logging().await;
        self.last_lines.clause()
    }

    /// Waits until all of standard error is read, for at most [`GRACE`].
    async fn finish_logging(&mut self) {
        if let Some(mut logging) = self.logging.take()
            && tokio::time::timeout(GRACE, &mut logging).await.is_err()
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
