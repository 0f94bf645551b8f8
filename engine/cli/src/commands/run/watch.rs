//! From the start of the pipelines to their end: shows how they do, and stops them when asked.

use std::future::Future;
use std::time::Duration;

use tidegate_runtime::status::GraphStatus;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::reloads::Reloads;
use super::signals::Request;
use crate::exit::Exit;
use crate::terminal::quantity::plural;

/// How long aborted pipelines may take to come to their end before the process ends without them.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// Pipelines that run: the engine and its files, but for tests.
pub(crate) trait Pipelines: Send + Sync + 'static {
    /// Every graph as it is now.
    fn status(&self) -> Vec<GraphStatus>;
    /// Asks every graph to finish what is in flight and stop.
    fn drain(&self);
    /// Ends everything at once.
    fn abort(&self);
    /// Waits until every graph is over.
    fn finished(&self) -> impl Future<Output = ()> + Send;
    /// Reads the pipeline files again and makes what they say run. Tells in the log what came of it.
    fn reload(&self) -> impl Future<Output = ()> + Send;
    /// What came of the reloads so far.
    fn reloads(&self) -> Reloads;
}

/// When to look away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every graph is over.
    Over,
    /// Every graph is over, and somebody has asked to stop: a reload may bring new ones.
    Stopped,
}

/// Waits until every graph is over, and calls `show` once a `period` until then. The exit code, unless the
/// ends of the graphs say it.
pub(crate) async fn watch(
    pipelines: &impl Pipelines,
    mut request: impl AsyncFnMut() -> Request,
    until: Until,
    period: Duration,
    mut show: impl FnMut(&[GraphStatus]),
) -> Option<Exit> {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finished = std::pin::pin!(pipelines.finished());
    let mut reload = std::pin::pin!(pipelines.reload());
    let (mut draining, mut over) = (false, false);
    let mut reloads = Turns::default();
    loop {
        tokio::select! {
            biased;
            () = &mut finished, if !over => {
                if draining || until == Until::Over {
                    return None;
                }
                over = true;
                tracing::info!("everything is over; waiting for a changed file, Ctrl-C ends");
            }
            () = &mut reload, if reloads.is_under_way => {
                reload.set(pipelines.reload());
                reloads.end(draining);
                if std::mem::take(&mut over) {
                    finished.set(pipelines.finished());
                }
            }
            request = request() => match request {
                Request::Reload if draining => tracing::warn!("draining, so the reload is ignored"),
                Request::Reload => reloads.ask(),
                Request::Stop if !draining => {
                    draining = true;
                    if over && !reloads.is_under_way {
                        return None;
                    }
                    tracing::info!("draining; a second Ctrl-C stops at once");
                    pipelines.drain();
                    if std::mem::take(&mut over) {
                        finished.set(pipelines.finished());
                    }
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

/// One reload at a time. However often it is asked for meanwhile, one more does for all of them.
#[derive(Debug, Default)]
struct Turns {
    is_under_way: bool,
    again: bool,
}

impl Turns {
    fn ask(&mut self) {
        self.again = std::mem::replace(&mut self.is_under_way, true);
    }

    fn end(&mut self, draining: bool) {
        self.is_under_way = std::mem::take(&mut self.again) && !draining;
    }
}

#[cfg(test)]
mod tests;
