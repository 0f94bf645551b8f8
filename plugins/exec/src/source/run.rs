//! One run of a source's command: reading while it lasts, and ending it when it must.

use std::time::Duration;

use bytes::BytesMut;
use tidegate_sdk::Cx;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::process::Process;

/// How much is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// How long the output of a command that is gone may stay open: a process that has left its group holds it.
const MOMENT: Duration = Duration::from_secs(1);

/// Why a run was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Stop,
    TimeLimit,
}

/// What came of one step.
pub(super) enum Step {
    /// Something was read.
    Read,
    /// The command has ended, and all that it wrote is read.
    Ended,
}

/// What happens when the time is over.
#[derive(Clone, Copy)]
enum Then {
    Terminate,
    Kill,
    GiveUp,
}

pub(super) struct Run {
    pub(super) process: Process,
    /// Why it was ended; `None` if it ended by itself.
    pub(super) cause: Option<Cause>,
    deadline: Option<(Instant, Then)>,
    kill_after: Duration,
}

impl Run {
    pub(super) fn new(mut process: Process, limit: Option<Duration>, kill_after: Duration) -> Self {
        // A source's command has nothing to read.
        process.stdin = None;
        let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, Then::Terminate)));
        Self { process, cause: None, deadline, kill_after }
    }

    /// Reads once into `buffer`, or sees the run end.
    pub(super) async fn step(&mut self, buffer: &mut BytesMut, cx: &Cx) -> Step {
        buffer.reserve(PIECE);
        loop {
            let mut stdout = self.process.stdout.take();
            let alive = self.process.status().is_none();
            if stdout.is_none() && !alive {
                return Step::Ended;
            }
            let time_is_over = async {
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
            // Each of these can be dropped without losing anything, and tried again.
            tokio::select! {
                biased;
                () = cx.stopping(), if self.cause.is_none() && alive => {
                    self.process.stdout = stdout;
                    self.terminate(Cause::Stop);
                }
                () = time_is_over => {
                    self.process.stdout = stdout;
                    self.time_is_over();
                }
                read = read => {
                    if let Ok(1..) = read {
                        self.process.stdout = stdout;
                        return Step::Read;
                    }
                }
                () = self.process.ended(), if alive => {
                    self.process.stdout = stdout;
                    self.deadline = Some((Instant::now() + MOMENT, Then::GiveUp));
                }
            }
        }
    }

    fn terminate(&mut self, cause: Cause) {
        self.cause = Some(cause);
        self.process.terminate();
        self.deadline = Some((Instant::now() + self.kill_after, Then::Kill));
    }

    fn time_is_over(&mut self) {
        match self.deadline.map(|(_, then)| then) {
            Some(Then::Terminate) => self.terminate(Cause::TimeLimit),
            Some(Then::Kill) => {
                self.process.kill();
                self.deadline = Some((Instant::now() + MOMENT, Then::GiveUp));
            }
            Some(Then::GiveUp) | None => {
                self.deadline = None;
                self.process.stdout = None;
            }
        }
    }
}
