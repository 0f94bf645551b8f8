//! Runs of the engine: started, frozen, killed, drained.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Time limit for a run to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine: its binary, pipeline file and data folder.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// The pipeline file.
    pub(crate) pipeline: PathBuf,
    /// Data folder.
    pub(crate) data: PathBuf,
    /// File to which standard error is appended.
    pub(crate) log: PathBuf,
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Run(Child);

impl Engine {
    /// Starts a run.
    ///
    /// # Errors
    /// If the binary cannot be started.
    pub(crate) fn start(&self) -> Result<Run> {
        self.start_under(Command::new(&self.binary))
    }

    /// Starts a run with a command that takes the arguments of the engine: the binary, or `strace … binary`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_under(&self, mut command: Command) -> Result<Run> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        command.arg("run").arg(&self.pipeline).arg("--data-dir").arg(&self.data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env("NO_COLOR", "1");
        command.env_remove("TIDEGATE_LOG");
        let child = command.spawn();
        Ok(Run(child.with_context(|| format!("{} cannot be started", self.binary.display()))?))
    }

    /// The first error of `tidegate check` for the pipeline file, if any.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn refusal(&self) -> Result<Option<String>> {
        let checked = Command::new(&self.binary).arg("check").arg(&self.pipeline).output()?;
        if checked.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
        let first = text.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
        Ok(Some(first.to_owned()))
    }

    /// The end of the log of all runs.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned()
    }

    /// The folder that holds all files of the engine.
    pub(crate) fn folder(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("."))
    }
}

impl Run {
    /// Kills the process (SIGKILL).
    ///
    /// # Errors
    /// If the process cannot be reaped.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Freezes the process (SIGSTOP).
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes a frozen process (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Exit status, if the process has ended.
    ///
    /// # Errors
    /// If the process cannot be queried.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Sends SIGTERM and waits for the process to drain and end.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) fn drain(self) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the engine does not end within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: Signal) {
        // A signal to an ended process fails, which is fine. Its id is not reused before it is reaped.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
