//! The tasks of one run of a graph: the first that fails ends the others, at once or when they are done.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tidegate_sdk::Tasks;
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
    /// Cancelled when the run has failed, and delivers what was read.
    winding_down: CancellationToken,
    /// Cancelled when that has to be over within the time of a drain.
    in_time: CancellationToken,
}

impl GraphTasks {
    /// The tasks of a run that drains when `stopping` is cancelled.
    pub(crate) fn new(stopping: &CancellationToken) -> Self {
        Self {
            tasks: Tasks::default(),
            first_failure: Arc::default(),
            hard_stop: CancellationToken::new(),
            stopping: stopping.child_token(),
            winding_down: CancellationToken::new(),
            in_time: CancellationToken::new(),
        }
    }

    /// Starts a task. If it fails, or panics, every other task of the run is stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let all = self.clone();
        self.tasks.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                // A task whose neighbour has failed may end before that one could say why. It has no reason of
                // its own, so it must not be the first to give one.
                // Where the run winds down, it was told by a segment downstream that takes nothing more.
                Ok(Err(Failure::Stopped)) if all.winding_down.is_cancelled() => {}
                Ok(Err(Failure::Stopped)) => all.hard_stop.cancel(),
                Ok(Err(failure)) => all.fail(failure),
                Err(panic) => all.fail(panicked(&*panic)),
            }
        });
    }

    /// Stops every task, for this reason if it is the first.
    pub(crate) fn fail(&self, failure: Failure) {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.hard_stop.cancel();
    }

    /// Ends the run for this reason, if it is the first, when everything that was read is delivered.
    pub(crate) fn wind_down(&self, failure: Failure) {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.winding_down.cancel();
        self.stopping.cancel();
    }

    /// As [`wind_down`](Self::wind_down), where not everything can be delivered: what has left the segment that
    /// failed is, within the time of a drain.
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

    /// Cancelled when the run has to be over within the time of a drain.
    pub(crate) fn in_time(&self) -> &CancellationToken {
        &self.in_time
    }

    /// Cancelled when every task is to end at once.
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.hard_stop
    }

    /// Why the run failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        first.or_else(|| self.hard_stop.is_cancelled().then_some(Failure::Stopped))
    }

    /// Waits until every task has ended.
    pub(crate) async fn joined(&self) {
        self.tasks.joined().await;
    }
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
mod tests {
    use super::*;

    /// A source that was sending to a sink that failed ended the pipeline instead of starting it anew.
    #[tokio::test]
    async fn the_reason_is_told_even_if_a_neighbour_ends_first() {
        let tasks = GraphTasks::new(&CancellationToken::new());
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let stopped = tasks.hard_stop().clone();
        tasks.spawn(async move {
            drop(receiver);
            stopped.cancelled().await;
            Err(Failure::Replay("rolled back".into()))
        });
        tasks.spawn(async move {
            let mut sender = sender;
            sender.closed().await;
            Err(Failure::Stopped)
        });
        tasks.joined().await;
        assert_eq!(tasks.failure(), Some(Failure::Replay("rolled back".into())));
    }

    #[tokio::test]
    async fn a_hard_stop_is_a_reason_if_there_is_no_other() {
        let tasks = GraphTasks::new(&CancellationToken::new());
        tasks.fail(Failure::Stopped);
        tasks.spawn(async { Err(Failure::Fatal("too late".into())) });
        tasks.joined().await;
        assert_eq!(tasks.failure(), Some(Failure::Stopped));
    }
}
