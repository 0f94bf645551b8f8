//! The reading thread's way to the pipeline.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tidegate_sdk::{Cx, Error, SourceBatch};
use tokio::sync::mpsc::Sender;

/// Takes what the reading thread has, and tells it when to end.
pub(crate) struct Feed {
    cx: Cx,
    sender: Sender<Result<SourceBatch, Error>>,
    /// Nothing is ever sent here; that its other end is gone ends a pause.
    running: Receiver<()>,
}

impl Feed {
    pub(crate) fn new(cx: Cx, sender: Sender<Result<SourceBatch, Error>>, running: Receiver<()>) -> Self {
        Self { cx, sender, running }
    }

    pub(crate) fn cx(&self) -> &Cx {
        &self.cx
    }

    /// Whether the thread is to end: the pipeline drains, or the source is gone.
    pub(crate) fn is_stopping(&self) -> bool {
        self.cx.is_stopping() || self.sender.is_closed()
    }

    /// Hands on a batch; waits while the pipeline is behind. False if the source is gone.
    pub(crate) fn send(&self, batch: SourceBatch) -> bool {
        self.sender.blocking_send(Ok(batch)).is_ok()
    }

    /// Tells of an error. The engine pauses before it listens again, and the bounded channel passes that
    /// pause on to the thread, which may simply try again. False if the thread is to end.
    pub(crate) fn fail(&self, error: Error) -> bool {
        let fatal = error.class() == tidegate_sdk::Class::Fatal;
        self.sender.blocking_send(Err(error)).is_ok() && !fatal && !self.is_stopping()
    }

    /// Waits. False if the thread is to end.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let waited = self.running.recv_timeout(pause);
        waited == Err(RecvTimeoutError::Timeout) && !self.is_stopping()
    }
}
