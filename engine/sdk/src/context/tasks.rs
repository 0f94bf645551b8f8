//! The one place where tasks start, so that each is joined.

use std::future::Future;

use tokio::sync::oneshot;
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

    /// Runs a function that blocks (file input and output, a long computation) off the async workers. Not for one that
    /// waits for somebody else: see [`spawn_thread`](Self::spawn_thread).
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.spawn_blocking(work)
    }

    /// Runs a function that may wait for long (for standard input, for a peer) on a thread of its own: the threads of
    /// [`spawn_blocking`](Self::spawn_blocking) are shared by all pipelines of the process, and there are 512 of them.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        let (done, ended) = oneshot::channel();
        // The caller that awaits the result may be gone.
        let thread = move || drop(done.send(work()));
        std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
        Ok(self.spawn(async move { ended.await.expect("the thread has not panicked") }))
    }

    /// Waits until every task has ended. More may be started meanwhile; they are waited for too.
    pub async fn joined(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
