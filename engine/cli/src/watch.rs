//! From the start of the pipelines to their end: shows how they do, and stops them when asked.

use std::future::Future;
use std::time::Duration;

use tidegate_runtime::Engine;
use tidegate_runtime::status::GraphStatus;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::exit::Exit;
use crate::quantity::plural;
use crate::signals::Request;

/// How long aborted pipelines may take to come to their end before the process ends without them.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// Pipelines that run: the engine, but for tests.
pub(crate) trait Pipelines: Send + Sync + 'static {
    /// Every graph as it is now.
    fn status(&self) -> Vec<GraphStatus>;
    /// Asks every graph to finish what is in flight and stop.
    fn drain(&self);
    /// Ends everything at once.
    fn abort(&self);
    /// Waits until every graph is over.
    fn finished(&self) -> impl Future<Output = ()> + Send;
}

impl Pipelines for Engine {
    fn status(&self) -> Vec<GraphStatus> {
        Engine::status(self)
    }
    fn drain(&self) {
        Engine::drain(self);
    }
    fn abort(&self) {
        Engine::abort(self);
    }
    fn finished(&self) -> impl Future<Output = ()> + Send {
        Engine::finished(self)
    }
}

/// Waits until every graph is over, and calls `show` once a `period` until then. The exit code, unless the
/// ends of the graphs say it.
pub(crate) async fn watch(
    pipelines: &impl Pipelines,
    mut request: impl AsyncFnMut() -> Request,
    period: Duration,
    mut show: impl FnMut(&[GraphStatus]),
) -> Option<Exit> {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finished = std::pin::pin!(pipelines.finished());
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            () = &mut finished => return None,
            request = request() => match request {
                Request::Reload => tracing::warn!("reload is not supported by this version"),
                Request::Stop if !draining => {
                    draining = true;
                    tracing::info!("draining; a second Ctrl-C stops at once");
                    pipelines.drain();
                }
                Request::Stop => {
                    // What is under way is counted before it is cut off.
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

#[cfg(test)]
mod tests;
