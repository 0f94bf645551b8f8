//! Segments that begin with a filter: one worker, or several that do the same.

use std::sync::Arc;
use std::time::Instant;

use tidegate_sdk::Output;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::StreamExt;

use super::async_filter::{AsyncStage, restore};
use super::permits::EventPermits;
use crate::dataflow::chain::Chain;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::EdgeReceiver;
use crate::dataflow::emission::Emission;
use crate::dataflow::failure::Failure;
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// Number of batches per worker that may be in work, or done and waiting for their turn.
pub(super) const AHEAD: usize = 2;

/// Receiver of the emissions of one batch, in the order of the input.
pub(super) type Turn = oneshot::Receiver<Vec<Emission>>;

/// Receives the next batch from an edge, and records the waiting time.
pub(super) async fn next(
    context: &SegmentContext,
    input: &mut EdgeReceiver,
) -> Result<Option<TrackedBatch>, Failure> {
    let since = Instant::now();
    let tracked = tokio::select! {
        tracked = input.next() => tracked,
        () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
    };
    context.metrics.waited_upstream(since);
    Ok(tracked)
}

/// Runs a single worker.
pub(crate) async fn run(context: SegmentContext, worker: Worker, input: EdgeReceiver) -> Result<(), Failure> {
    match worker {
        Worker::Plain(chain) => run_plain(context, chain, input).await,
        Worker::Waiting(waiting) => run_waiting(context, *waiting, input).await,
    }
}

async fn run_plain(
    context: SegmentContext,
    mut chain: Chain,
    mut input: EdgeReceiver,
) -> Result<(), Failure> {
    restore(&context, &mut chain).await?;
    chain.set_health(&Health::Ready);
    while let Some(tracked) = next(&context, &mut input).await? {
        let emissions =
            chain.apply(&context, context.node, tracked).await.map_err(|failure| context.fail(failure))?;
        context.send(emissions).await?;
    }
    chain.save(&context.state_handoff).await;
    chain.set_health(&Health::Ended);
    Ok(())
}

async fn run_waiting(
    context: SegmentContext,
    mut filter: AsyncStage,
    mut input: EdgeReceiver,
) -> Result<(), Failure> {
    if !filter.open(&context).await? {
        context.state_handoff.pass_on(context.node);
        return Ok(());
    }
    filter.restore(&context).await?;
    while let Some(tracked) = next(&context, &mut input).await? {
        context.metrics.record_in(tracked.batch());
        let mut left = Some(tracked);
        while let Some(tracked) = left {
            let processed =
                filter.apply(&context, tracked, Output::resumable, &mut EventPermits::default()).await;
            let processed = processed.map_err(|failure| context.fail(failure))?;
            context.send(processed.emissions).await?;
            left = processed.deferred;
        }
    }
    filter.save(&context).await?;
    filter.close(&context).await;
    Ok(())
}

/// Filters of one task: alone, or as one of several workers. Only filters without state can be forked, so several workers
/// have no state to pass on.
pub(crate) enum Worker {
    /// Plain filters.
    Plain(Chain),
    /// An async filter and the plain filters downstream of it.
    Waiting(Box<AsyncStage>),
}

impl Worker {
    /// Forks the worker; `None` if one of its filters cannot be forked.
    pub(crate) fn fork(&self, context: &SegmentContext) -> Option<Self> {
        match self {
            Self::Plain(chain) => chain.fork().map(Self::Plain),
            Self::Waiting(waiting) => waiting.fork(context).map(|fork| Self::Waiting(Box::new(fork))),
        }
    }

    /// Opens the filters. Returns false if the input ended first.
    async fn open(&mut self, context: &SegmentContext) -> Result<bool, Failure> {
        match self {
            Self::Plain(chain) => {
                chain.set_health(&Health::Ready);
                Ok(true)
            }
            Self::Waiting(waiting) => waiting.open(context).await,
        }
    }

    async fn apply(
        &mut self,
        context: &SegmentContext,
        tracked: TrackedBatch,
    ) -> Result<Vec<Emission>, Failure> {
        let made = match self {
            Self::Plain(chain) => chain.apply(context, context.node, tracked).await,
            Self::Waiting(waiting) => {
                context.metrics.record_in(tracked.batch());
                let mut unlimited = EventPermits::default();
                waiting
                    .apply(context, tracked, Output::new, &mut unlimited)
                    .await
                    .map(|processed| processed.emissions)
            }
        };
        made.map_err(|failure| context.fail(failure))
    }

    async fn close(self, context: &SegmentContext) {
        match self {
            Self::Plain(chain) => chain.set_health(&Health::Ended),
            Self::Waiting(waiting) => waiting.close(context).await,
        }
    }
}

/// Runs several workers, each in a task. The first free worker takes the next batch.
pub(crate) fn run_workers(
    context: &SegmentContext,
    workers: Vec<Worker>,
    input: EdgeReceiver,
    order: bool,
    tasks: &GraphTasks,
) {
    let input = Arc::new(Mutex::new(input));
    if !order {
        for worker in workers {
            tasks.spawn(work(context.clone(), worker, Arc::clone(&input)));
        }
        return;
    }
    let (turns, results) = mpsc::channel(AHEAD * workers.len());
    for worker in workers {
        tasks.spawn(work_in_turn(context.clone(), worker, Arc::clone(&input), turns.clone()));
    }
    tasks.spawn(collect(context.clone(), results));
}

/// Runs one worker without order: emissions leave when they are ready.
async fn work(
    context: SegmentContext,
    mut worker: Worker,
    input: Arc<Mutex<EdgeReceiver>>,
) -> Result<(), Failure> {
    if !worker.open(&context).await? {
        return Ok(());
    }
    loop {
        let tracked = next(&context, &mut *input.lock().await).await?;
        let Some(tracked) = tracked else { break };
        yield_to_next_worker().await;
        let emissions = worker.apply(&context, tracked).await?;
        context.send(emissions).await?;
    }
    worker.close(&context).await;
    Ok(())
}

/// Yields to a worker that was woken for the input on this thread. Otherwise it would wait until this worker has processed
/// its batch, because no other thread can take it over.
async fn yield_to_next_worker() {
    tokio::task::yield_now().await;
}

/// Runs one worker with order: it takes a turn with each batch, and emissions leave in the order of the turns. Requests whose
/// client waits take no turn, and leave when they are ready.
async fn work_in_turn(
    context: SegmentContext,
    mut worker: Worker,
    input: Arc<Mutex<EdgeReceiver>>,
    turns: mpsc::Sender<Turn>,
) -> Result<(), Failure> {
    if !worker.open(&context).await? {
        return Ok(());
    }
    loop {
        let (tracked, done) = {
            let mut input = input.lock().await;
            let Some(tracked) = next(&context, &mut input).await? else { break };
            if tracked.batch().is_awaited() {
                (tracked, None)
            } else {
                let (done, turn) = oneshot::channel();
                let since = Instant::now();
                turns.send(turn).await.map_err(|_| Failure::Stopped)?;
                context.metrics.waited_downstream(since);
                (tracked, Some(done))
            }
        };
        yield_to_next_worker().await;
        let emissions = worker.apply(&context, tracked).await?;
        match done {
            Some(done) => done.send(emissions).map_err(|_| Failure::Stopped)?,
            None => context.send(emissions).await?,
        }
    }
    // The input has ended. Other workers may still process the last batches.
    drop(turns);
    worker.close(&context).await;
    Ok(())
}

/// Sends the emissions of workers downstream, in the order of their turns.
pub(super) async fn collect(context: SegmentContext, mut turns: mpsc::Receiver<Turn>) -> Result<(), Failure> {
    while let Some(turn) = turns.recv().await {
        let emissions = turn.await.map_err(|_| Failure::Stopped)?;
        context.send(emissions).await?;
    }
    Ok(())
}
