//! The tasks of one run of a graph: the first that fails stops the others.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tidegate_sdk::Tasks;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The tasks of one run. A clone is another handle to the same.
#[derive(Clone, Default)]
pub(crate) struct GraphTasks {
    tasks: Tasks,
    first_failure: Arc<Mutex<Option<Failure>>>,
    hard_stop: CancellationToken,
}

impl GraphTasks {
    /// Starts a task. If it fails, or panics, every other task of the run is stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let all = self.clone();
        self.tasks.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => all.fail(failure),
                Err(panic) => all.fail(Failure::Crashed(format!("panicked: {}", message(&*panic)))),
            }
        });
    }

    /// Stops every task, for this reason if it is the first.
    pub(crate) fn fail(&self, failure: Failure) {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.hard_stop.cancel();
    }

    /// Cancelled when every task is to end at once.
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.hard_stop
    }

    /// Why the run failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every task has ended.
    pub(crate) async fn joined(&self) {
        self.tasks.joined().await;
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}
