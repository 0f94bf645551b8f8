//! Tasks of one run of a graph: the first failure ends the others, at once or after everything that was read is
//! delivered.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tidegate_sdk::Tasks;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dataflow::failure::Failure;

/// The tasks of one run. A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct GraphTasks {
    tasks: Tasks,
    first_failure: Arc<Mutex<Option<Failure>>>,
    hard_stop: CancellationToken,
    /// Cancelled when the sources stop reading.
    stopping: CancellationToken,
    /// Cancelled when the run has failed and delivers what was read.
    winding_down: CancellationToken,
    /// Cancelled when winding down has to end within the drain timeout.
    in_time: CancellationToken,
    /// The end of the drain timeout, once a drain has begun.
    deadline: Arc<Mutex<Option<Instant>>>,
}

thread_local! {
    /// True if a batch was dropped without an answer in the poll that runs on this thread; `None` outside a poll.
    static DROPPED: Cell<Option<bool>> = const { Cell::new(None) };
}

impl GraphTasks {
    /// Creates the tasks of a run that drains when `stopping` is cancelled.
    pub(crate) fn new(stopping: &CancellationToken) -> Self {
        Self {
            tasks: Tasks::default(),
            first_failure: Arc::default(),
            hard_stop: CancellationToken::new(),
            stopping: stopping.child_token(),
            winding_down: CancellationToken::new(),
            in_time: CancellationToken::new(),
            deadline: Arc::default(),
        }
    }

    /// Starts a task. If it fails or panics, or drops a batch without an answer, every other task of the run stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let all = self.clone();
        self.tasks.spawn(async move {
            let mut task = pin!(task);
            std::future::poll_fn(move |cx| {
                let (polled, dropped) =
                    observe_drops(|| catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))));
                match polled {
                    Ok(Poll::Pending) if !dropped => return Poll::Pending,
                    Ok(Poll::Ready(Ok(()))) if !dropped => {}
                    // The task's own failure explains the batches that it dropped.
                    Ok(Poll::Ready(Err(failure))) => all.ended_early(failure),
                    Err(panic) => all.fail(panicked(&*panic)),
                    Ok(still) => {
                        all.batch_dropped();
                        return still.map(|_| ());
                    }
                }
                Poll::Ready(())
            })
            .await;
        });
    }

    fn ended_early(&self, failure: Failure) {
        if failure != Failure::Stopped {
            self.fail(failure);
        } else if !self.winding_down.is_cancelled() {
            // A task that ends because its neighbour has failed may end before the neighbour reports the reason. It
            // has no reason of its own, so it stops the others without giving one. While the run winds down, a
            // downstream segment that takes nothing more is expected.
            self.hard_stop.cancel();
        }
    }

    /// Fails the run because a batch was dropped without an answer, unless the run has failed already.
    fn batch_dropped(&self) {
        if !self.winding_down.is_cancelled() && !self.hard_stop.is_cancelled() {
            self.fail(Failure::Crashed("a batch was dropped without an answer".into()));
        }
    }

    /// Callback for a batch that failed. In a poll of a task, that task reports the reason when the poll ends.
    pub(crate) fn on_batch_failed(&self) -> Arc<dyn Fn() + Send + Sync> {
        let all = self.clone();
        Arc::new(move || {
            let is_in_poll = DROPPED.get().is_some();
            if is_in_poll {
                DROPPED.set(Some(true));
            } else {
                all.batch_dropped();
            }
        })
    }

    /// Stops every task, for this reason if it is the first.
    pub(crate) fn fail(&self, failure: Failure) {
        self.first_failure.lock().get_or_insert(failure);
        self.hard_stop.cancel();
    }

    /// Ends the run, for this reason if it is the first, when everything that was read is delivered.
    pub(crate) fn wind_down(&self, failure: Failure) {
        self.first_failure.lock().get_or_insert(failure);
        self.winding_down.cancel();
        self.stopping.cancel();
    }

    /// Ends the run as [`wind_down`](Self::wind_down) does, within the drain timeout: the failed segment delivers
    /// nothing more, what has left it is delivered.
    pub(crate) fn wind_down_in_time(&self, failure: Failure) {
        self.wind_down(failure);
        self.in_time.cancel();
    }

    /// Cancelled when the sources stop reading: the graph drains, or the run winds down.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when the run winds down.
    pub(crate) fn winding_down(&self) -> &CancellationToken {
        &self.winding_down
    }

    /// Cancelled when the run has to be over within the drain timeout.
    pub(crate) fn in_time(&self) -> &CancellationToken {
        &self.in_time
    }

    /// Cancelled when every task has to end at once.
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.hard_stop
    }

    /// Sets the end of the drain timeout.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        *self.deadline.lock() = Some(deadline);
    }

    /// The end of the drain timeout, once a drain has begun.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock()
    }

    /// The reason of the run's failure.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let first = self.first_failure.lock().clone();
        first.or_else(|| self.hard_stop.is_cancelled().then_some(Failure::Stopped))
    }

    /// Waits until every task has ended.
    pub(crate) async fn joined(&self) {
        self.tasks.joined().await;
    }
}

/// Calls `poll`, and reports whether a batch was dropped without an answer in it.
fn observe_drops<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    let outer = DROPPED.replace(Some(false));
    let polled = poll();
    let dropped = DROPPED.replace(outer).unwrap_or(false);
    (polled, dropped)
}

/// The failure of a task that panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    Failure::Crashed(format!("panicked: {}", message(panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}

#[cfg(test)]
mod tests;
