//! The reading thread's way to the pipeline.

use std::time::Duration;

use tidegate_sdk::{Cx, Error, SourceBatch};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

/// Takes what the reading thread has, and tells it when to end.
pub(crate) struct Feed {
    cx: Cx,
    sender: Sender<Result<SourceBatch, Error>>,
    runtime: Handle,
}

impl Feed {
    /// Must be called within the runtime.
    pub(crate) fn new(cx: Cx, sender: Sender<Result<SourceBatch, Error>>) -> Self {
        Self { cx, sender, runtime: Handle::current() }
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
        self.runtime.block_on(async {
            tokio::select! {
                whole = self.cx.sleep(pause) => whole,
                () = self.sender.closed() => false,
            }
        })
    }
}
