//! The one place where tasks start, so that each is joined.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// A set of tasks that somebody waits for. Cloning gives another handle to the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. Dropping the handle does not end it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(task)
    }

    /// Runs a function that blocks (file input and output, a long computation) off the async workers.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.spawn_blocking(work)
    }

    /// Waits until every task has ended. More may be started meanwhile; they are waited for too.
    pub async fn joined(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
