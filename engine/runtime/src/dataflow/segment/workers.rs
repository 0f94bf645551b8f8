//! Segments that begin with a filter: alone, or as several workers that do the same.

use std::sync::Arc;
use std::time::Instant;

use tidegate_sdk::Output;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::StreamExt;

use super::async_filter::AsyncStage;
use super::permits::EventPermits;
use crate::dataflow::chain::Chain;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::EdgeReceiver;
use crate::dataflow::emission::Emission;
use crate::dataflow::failure::Failure;
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// How many batches for each worker may be in work, or done before their turn.
pub(super) const AHEAD: usize = 2;

/// Where what comes of a batch will be.
pub(super) type Turn = oneshot::Receiver<Vec<Emission>>;

/// Takes the next parcel from an edge, counting how long that took.
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

/// Gives filters back what they remember. That may have to wait until the sources know where they read on.
pub(super) async fn restore(context: &SegmentContext, chain: &mut Chain) -> Result<(), Failure> {
    tokio::select! {
        () = chain.restore(&context.state_handoff) => Ok(()),
        () = context.hard_stop().cancelled() => Err(Failure::Stopped),
    }
}

/// Runs a worker that is alone.
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
            left = processed.left;
        }
    }
    filter.save(&context).await?;
    filter.close(&context).await;
    Ok(())
}

/// What works on batches: alone, or as one of several that do the same. Filters that can be several remember nothing, so
/// these have nothing to hand over.
pub(crate) enum Worker {
    /// Filters that are plain functions.
    Plain(Chain),
    /// One that waits, and plain ones behind it.
    Waiting(Box<AsyncStage>),
}

impl Worker {
    /// Another that does the same; `None` if there can only be one.
    pub(crate) fn fork(&self, context: &SegmentContext) -> Option<Self> {
        match self {
            Self::Plain(chain) => chain.fork().map(Self::Plain),
            Self::Waiting(waiting) => waiting.fork(context).map(|fork| Self::Waiting(Box::new(fork))),
        }
    }

    /// False if there was nothing left to be opened for.
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
                let mut alone = EventPermits::default();
                waiting
                    .apply(context, tracked, Output::new, &mut alone)
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

/// Runs workers that do the same, a task each: whichever is free takes the next batch.
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

/// One worker where order is not kept: what is done goes on.
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
        let_others_go().await;
        let emissions = worker.apply(&context, tracked).await?;
        context.send(emissions).await?;
    }
    worker.close(&context).await;
    Ok(())
}

/// Whoever waits for the input was woken to run next on this thread, where no other thread can take it over: it would
/// wait until this worker is done with its batch.
async fn let_others_go() {
    tokio::task::yield_now().await;
}

/// One worker where order is kept: with each batch it takes a turn, and what is done goes on in the order of the turns.
/// Requests that wait for an answer of their own take none: their answers leave as they are ready.
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
        let_others_go().await;
        let emissions = worker.apply(&context, tracked).await?;
        match done {
            Some(done) => done.send(emissions).map_err(|_| Failure::Stopped)?,
            None => context.send(emissions).await?,
        }
    }
    // Others may be at the last batches still, but nothing comes that this one could do.
    drop(turns);
    worker.close(&context).await;
    Ok(())
}

/// Sends on what the workers have done, in the order of their turns.
pub(super) async fn collect(context: SegmentContext, mut turns: mpsc::Receiver<Turn>) -> Result<(), Failure> {
    while let Some(turn) = turns.recv().await {
        let emissions = turn.await.map_err(|_| Failure::Stopped)?;
        context.send(emissions).await?;
    }
    Ok(())
}
