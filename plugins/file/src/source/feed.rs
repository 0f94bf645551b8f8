//! Channel from reading to the pipeline, and the task that reads.
//!
//! Files are read in steps, on threads that all components share. A step waits some milliseconds for the pipeline. Then it
//! ends, and its thread is free until the channel has room for the batch.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tidegate_sdk::{Class, Cx, Error, SourceBatch};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinError;

/// Longest time of a step. After it, others get the thread.
const STEP: Duration = Duration::from_millis(100);

/// Most steps that run at the same time in this process. So even files on a network that hangs leave threads to everything
/// else.
const AT_ONCE: usize = 64;

/// Longest wait of a step for room in the channel. In a steady flow, room comes sooner than another thread would.
const BRIEFLY: Duration = Duration::from_millis(2);

static STEPS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Runs `work` on a shared thread, when fewer than [`AT_ONCE`] others run.
pub(crate) async fn on_shared_thread<T: Send + 'static>(
    cx: &Cx,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // The semaphore is never closed.
    let _permit = STEPS.acquire().await;
    cx.spawn_blocking(work).await
}

/// Sender of the batches that were read.
pub(crate) struct Feed {
    cx: Cx,
    sender: Sender<Result<SourceBatch, Error>>,
    /// Batches for which the channel had no room: one or two, because a step ends with the first.
    waiting: VecDeque<Result<SourceBatch, Error>>,
    /// Time at which the current step ends.
    until: Instant,
    /// Tells whether the source is gone, or has failed for good.
    over: bool,
}

/// Action after a step.
pub(crate) enum Next {
    /// Takes the next step when the channel has room.
    Step,
    /// Takes the next step after this time, or after a change.
    Pause(Duration),
    /// Ends reading.
    End,
}

/// Work that is done in steps.
pub(crate) trait Steps: Send + 'static {
    fn step(&mut self, feed: &mut Feed) -> Next;
}

impl Feed {
    pub(crate) fn new(cx: Cx, sender: Sender<Result<SourceBatch, Error>>) -> Self {
        Self { cx, sender, waiting: VecDeque::new(), until: Instant::now(), over: false }
    }

    pub(crate) fn cx(&self) -> &Cx {
        &self.cx
    }

    /// Tells whether reading must end: the pipeline drains, or the source is gone.
    pub(crate) fn is_stopping(&self) -> bool {
        self.over || self.cx.is_stopping() || self.sender.is_closed()
    }

    /// Tells whether the step must end: the channel has no room, or the time is over.
    pub(crate) fn is_full(&self) -> bool {
        !self.waiting.is_empty() || Instant::now() >= self.until
    }

    /// Sends a batch, now or when the channel has room.
    pub(crate) fn send(&mut self, batch: SourceBatch) {
        self.put(Ok(batch));
    }

    /// Sends an error. The engine pauses before it asks again, and the full channel makes reading pause too. False if
    /// reading must end.
    pub(crate) fn fail(&mut self, error: Error) -> bool {
        self.over |= error.class() == Class::Fatal;
        self.put(Err(error));
        !self.is_stopping()
    }

    fn put(&mut self, item: Result<SourceBatch, Error>) {
        if !self.waiting.is_empty() {
            self.waiting.push_back(item);
            return;
        }
        match self.sender.try_send(item) {
            Ok(()) => {}
            Err(TrySendError::Full(item)) => match briefly(self.sender.reserve()) {
                Some(Ok(room)) => room.send(item),
                Some(Err(_)) => self.over = true,
                None => self.waiting.push_back(item),
            },
            Err(TrySendError::Closed(_)) => self.over = true,
        }
    }

    /// Waits until the channel has taken everything. False if the source is gone.
    async fn flush(&mut self) -> bool {
        while let Some(item) = self.waiting.pop_front() {
            if self.sender.send(item).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Waker of a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, for [`BRIEFLY`]. `None` if it is still pending.
fn briefly<T>(future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut cx, mut future) = (Context::from_waker(&waker), pin!(future));
    let until = Instant::now() + BRIEFLY;
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return Some(done);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// Takes steps until the last one, or until the pipeline drains. `changed` ends a pause.
pub(crate) async fn drive(steps: impl Steps, mut feed: Feed, changed: &Notify) {
    let mut steps = steps;
    loop {
        let cx = feed.cx.clone();
        let step = on_shared_thread(&cx, move || {
            feed.until = Instant::now() + STEP;
            let next = if feed.is_stopping() { Next::End } else { steps.step(&mut feed) };
            (steps, feed, next)
        });
        let next;
        (steps, feed, next) = match step.await {
            Ok(done) => done,
            // The source reports that its task failed.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        if !feed.flush().await {
            return;
        }
        match next {
            Next::Step => {}
            Next::Pause(pause) => {
                let sender = feed.sender.clone();
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = changed.notified() => {}
                    () = cx.stopping() => {}
                    () = sender.closed() => return,
                }
            }
            Next::End => return,
        }
    }
}
