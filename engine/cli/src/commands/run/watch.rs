//! Supervision of a run from start to end: displays progress, reloads, drains and aborts on request.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tidegate_runtime::status::GraphStatus;
use tidegate_sdk::Tasks;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::reloads::Reloads;
use super::signals::Request;
use crate::exit::Exit;
use crate::terminal::quantity::plural;

/// Time limit for aborted pipelines to end. The process ends without them after that.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// Running pipelines: the engine with its files, or a fake in tests.
pub(crate) trait Pipelines: Send + Sync + 'static {
    /// Returns the current status of every graph.
    fn status(&self) -> Vec<GraphStatus>;
    /// Asks every graph to finish the batches in flight and stop.
    fn drain(&self);
    /// Ends every graph at once.
    fn abort(&self);
    /// Waits until every graph is over.
    fn finished(&self) -> impl Future<Output = ()> + Send;
    /// Reads the pipeline files again and replaces the graphs that changed. Logs the outcome.
    fn reload(&self) -> impl Future<Output = ()> + Send;
    /// Returns the outcomes of the reloads since the start.
    fn reloads(&self) -> Reloads;
}

/// The end of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Ends when every graph is over.
    Over,
    /// Ends when a stop was requested and every graph is over. A reload may start new graphs until then.
    Stopped,
}

/// Waits for the end of the run and calls `show` once a `period`.
///
/// Returns an exit code if the run was interrupted. Otherwise the ends of the graphs decide it.
pub(crate) async fn watch(
    pipelines: &Arc<impl Pipelines>,
    mut request: impl AsyncFnMut() -> Request,
    until: Until,
    period: Duration,
    mut show: impl FnMut(&[GraphStatus]),
) -> Option<Exit> {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finished = std::pin::pin!(pipelines.finished());
    let (mut draining, mut over) = (false, false);
    let mut reload = ReloadTask::default();
    loop {
        tokio::select! {
            biased;
            () = &mut finished, if !over => {
                if draining || until == Until::Over {
                    return None;
                }
                over = true;
                tracing::info!("all pipelines have ended; waiting for a changed file, Ctrl-C ends the process");
            }
            () = reload.ended() => {
                if reload.take_again() && !draining {
                    reload.start(pipelines);
                }
                if std::mem::take(&mut over) {
                    finished.set(pipelines.finished());
                }
            }
            request = request() => match request {
                Request::Reload if draining => tracing::warn!("the reload is ignored: the pipelines are draining"),
                Request::Reload => reload.start(pipelines),
                Request::Stop if !draining => {
                    draining = true;
                    if over && !reload.is_running() {
                        return None;
                    }
                    tracing::info!("draining; a second Ctrl-C stops at once");
                    pipelines.drain();
                    if std::mem::take(&mut over) {
                        finished.set(pipelines.finished());
                    }
                }
                Request::Stop => {
                    // Batches in flight are counted before they are cut off.
                    let undelivered = pipelines.status().iter().map(|graph| graph.in_flight_events).sum();
                    pipelines.abort();
                    let _ = timeout(ABORT_TIME, finished).await;
                    tracing::error!("stopped at once: {} not delivered", plural(undelivered, "event"));
                    return Some(Exit::Interrupted);
                }
            },
            _ = ticks.tick() => show(&pipelines.status()),
        }
    }
}

/// The task of the current reload. Signals are answered while it reads files and spawns child processes.
///
/// Requests during a reload cause one more reload, however many they are. Dropping this aborts the task.
#[derive(Default)]
struct ReloadTask {
    running: Option<JoinHandle<()>>,
    again: bool,
}

impl ReloadTask {
    fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts a reload, or requests one more if there is one.
    fn start(&mut self, pipelines: &Arc<impl Pipelines>) {
        if self.is_running() {
            self.again = true;
            return;
        }
        let pipelines = Arc::clone(pipelines);
        self.running = Some(Tasks::new().spawn(async move { pipelines.reload().await }));
    }

    /// Waits for the end of the reload, forever if there is none. May be dropped at any time.
    async fn ended(&mut self) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        if let Err(error) = running.await {
            tracing::error!("the reload ended early: {error}");
        }
        self.running = None;
    }

    /// Returns and clears the request for one more reload.
    fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }
}

impl Drop for ReloadTask {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

#[cfg(test)]
mod tests;
