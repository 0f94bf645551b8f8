//! Run of a source's command: reads its output, and ends it on a stop or a time limit.

use std::time::Duration;

use bytes::BytesMut;
use tidegate_sdk::Cx;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::process::{GRACE, Process};

/// The size of one read, in bytes.
const READ_BYTES: usize = 64 << 10;

/// The reason for ending a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Stop,
    TimeLimit,
}

/// The result of one step.
pub(super) enum Step {
    /// Something was read.
    Read,
    /// The command has ended, and all of its output is read.
    Ended,
}

/// The action at a deadline.
#[derive(Clone, Copy)]
enum OnDeadline {
    Terminate,
    Kill,
    GiveUp,
}

/// A running command of a source.
pub(super) struct Run {
    pub(super) process: Process,
    /// Reason why the command was ended from outside. `None` if it ended on its own.
    pub(super) cause: Option<Cause>,
    pub(super) started: Instant,
    deadline: Option<(Instant, OnDeadline)>,
    kill_after: Duration,
}

impl Run {
    pub(super) fn new(mut process: Process, limit: Option<Duration>, kill_after: Duration) -> Self {
        // The command of a source has nothing to read.
        process.stdin = None;
        let started = Instant::now();
        let deadline = limit.and_then(|limit| Some((started.checked_add(limit)?, OnDeadline::Terminate)));
        Self { process, cause: None, started, deadline, kill_after }
    }

    /// Reads once into `buffer`, or returns the end of the run.
    pub(super) async fn step(&mut self, buffer: &mut BytesMut, cx: &Cx) -> Step {
        buffer.reserve(READ_BYTES);
        loop {
            let mut stdout = self.process.stdout.take();
            let alive = self.process.status().is_none();
            if stdout.is_none() && !alive {
                return Step::Ended;
            }
            let deadline_passed = async {
                match self.deadline {
                    Some((at, _)) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let read = async {
                match &mut stdout {
                    Some(stdout) => stdout.read_buf(buffer).await,
                    None => std::future::pending().await,
                }
            };
            // Each branch is cancel safe.
            tokio::select! {
                biased;
                () = cx.stopping(), if self.cause.is_none() && alive => {
                    self.process.stdout = stdout;
                    self.terminate(Cause::Stop);
                }
                () = deadline_passed => {
                    self.process.stdout = stdout;
                    self.deadline_passed();
                }
                read = read => {
                    if let Ok(1..) = read {
                        self.process.stdout = stdout;
                        return Step::Read;
                    }
                }
                () = self.process.ended(), if alive => {
                    self.process.stdout = stdout;
                    self.deadline = Some((Instant::now() + GRACE, OnDeadline::GiveUp));
                }
            }
        }
    }

    fn terminate(&mut self, cause: Cause) {
        self.cause = Some(cause);
        self.process.terminate();
        self.deadline = Some((Instant::now() + self.kill_after, OnDeadline::Kill));
    }

    fn deadline_passed(&mut self) {
        match self.deadline.map(|(_, action)| action) {
            Some(OnDeadline::Terminate) => self.terminate(Cause::TimeLimit),
            Some(OnDeadline::Kill) => {
                self.process.kill();
                self.deadline = Some((Instant::now() + GRACE, OnDeadline::GiveUp));
            }
            Some(OnDeadline::GiveUp) | None => {
                self.deadline = None;
                self.process.stdout = None;
            }
        }
    }
}
