//! An async filter that works on several batches at once, so that a slow batch does not delay the others.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_sdk::Output;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::async_filter::AsyncStage;
use super::permits::EventPermits;
use super::workers::{AHEAD, Turn, collect, next};
use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::EdgeReceiver;
use crate::dataflow::failure::Failure;
use crate::dataflow::tasks::GraphTasks;

/// The largest number of batches in work, including those that pause between tries.
const BATCHES: usize = 1024;

/// Instances of one filter. Those in work are with their batches.
struct ConcurrentFilter {
    context: Arc<SegmentContext>,
    /// The instance that the others are forked from. It processes nothing.
    first: AsyncStage,
    idle: Arc<Mutex<Vec<AsyncStage>>>,
    /// Permits for events, as many as the filter works on at once.
    events: Arc<Semaphore>,
    at_once: usize,
    /// Permits for batches.
    batches: Arc<Semaphore>,
    tasks: GraphTasks,
}

/// Runs forks of `first` side by side, over at most `at_once` events. With `order`, batches leave in the order in which they
/// came, except for requests whose client waits: those leave when they are ready.
pub(crate) async fn run(
    context: SegmentContext,
    mut first: AsyncStage,
    (at_once, order): (usize, bool),
    mut input: EdgeReceiver,
    tasks: GraphTasks,
) -> Result<(), Failure> {
    if !first.open(&context).await? {
        return Ok(());
    }
    let (turns, results) = mpsc::channel(at_once.saturating_mul(AHEAD).min(BATCHES));
    tasks.spawn(collect(context.clone(), results));
    let mut concurrent = ConcurrentFilter {
        context: Arc::new(context),
        first,
        idle: Arc::default(),
        events: Arc::new(Semaphore::new(at_once)),
        at_once,
        batches: Arc::new(Semaphore::new(BATCHES)),
        tasks,
    };
    concurrent.dispatch(&mut input, &turns, order).await?;
    // The input has ended. Batches in work end before the instances are closed.
    drop(turns);
    let (batches, hard_stop) = (Arc::clone(&concurrent.batches), concurrent.context.hard_stop().clone());
    tokio::select! {
        all = batches.acquire_many(BATCHES as u32) => drop(all),
        () = hard_stop.cancelled() => return Err(Failure::Stopped),
    }
    let idle = std::mem::take(&mut *concurrent.idle.lock());
    for one in idle.into_iter().chain([concurrent.first]) {
        one.close(&concurrent.context).await;
    }
    Ok(())
}

impl ConcurrentFilter {
    async fn dispatch(
        &mut self,
        input: &mut EdgeReceiver,
        turns: &mpsc::Sender<Turn>,
        order: bool,
    ) -> Result<(), Failure> {
        let context = &Arc::clone(&self.context);
        while let Some(tracked) = next(context, input).await? {
            context.metrics.record_in(tracked.batch());
            let permit = tokio::select! {
                permit = Arc::clone(&self.batches).acquire_owned() => permit,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            let mut events = EventPermits::take(context, &self.events, self.at_once, tracked.batch()).await?;
            let done = if order && !tracked.batch().is_awaited() {
                let (done, turn) = oneshot::channel();
                turns.send(turn).await.map_err(|_| Failure::Stopped)?;
                Some(done)
            } else {
                None
            };
            let (mut one, is_new) = self.instance()?;
            let (context, idle) = (Arc::clone(context), Arc::clone(&self.idle));
            self.tasks.spawn(async move {
                if is_new && !one.open(&context).await? {
                    return Err(Failure::Stopped);
                }
                let made = one.apply(&context, tracked, Output::new, &mut events).await;
                let emissions = made.map_err(|failure| context.fail(failure))?.emissions;
                // Other batches may be processed while this one waits for room downstream.
                drop(events);
                idle.lock().push(one);
                match done {
                    Some(done) => done.send(emissions).map_err(|_| Failure::Stopped)?,
                    None => context.send(emissions).await?,
                }
                drop(permit);
                Ok(())
            });
        }
        Ok(())
    }

    /// An idle instance, or a new one that has to be opened.
    fn instance(&self) -> Result<(AsyncStage, bool), Failure> {
        if let Some(one) = self.idle.lock().pop() {
            return Ok((one, false));
        }
        let fork = self.first.fork(&self.context);
        fork.map(|one| (one, true)).ok_or_else(|| {
            self.context.fail(Failure::fatal(self.context.metrics.name(), "it cannot be forked any more"))
        })
    }
}
