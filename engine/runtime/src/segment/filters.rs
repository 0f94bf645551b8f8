//! Segments that begin with a filter: alone, or as several workers that do the same.

use std::sync::Arc;
use std::time::Instant;

use tidegate_sdk::Output;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::StreamExt;

use super::Head;
use super::share::Share;
use super::waiting::Waiting;
use crate::chain::{Chain, Leaving};
use crate::edge::EdgeReceiver;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::parcel::Parcel;
use crate::status::Health;

/// How many batches for each worker may be in work, or done before their turn.
pub(super) const AHEAD: usize = 2;

/// Where what comes of a batch will be.
pub(super) type Turn = oneshot::Receiver<Vec<Leaving>>;

/// Takes the next parcel from an edge, counting how long that took.
pub(super) async fn next(head: &Head, input: &mut EdgeReceiver) -> Result<Option<Parcel>, Failure> {
    let since = Instant::now();
    let parcel = tokio::select! {
        parcel = input.next() => parcel,
        () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
    };
    head.meter.waited_upstream(since);
    Ok(parcel)
}

/// Gives filters back what they remember. That may have to wait until the sources know where they read on.
pub(super) async fn restore(head: &Head, chain: &mut Chain) -> Result<(), Failure> {
    tokio::select! {
        () = chain.restore(&head.states) => Ok(()),
        () = head.hard_stop().cancelled() => Err(Failure::Stopped),
    }
}

/// Runs a worker that is alone.
pub(crate) async fn run(head: Head, worker: Worker, input: EdgeReceiver) -> Result<(), Failure> {
    match worker {
        Worker::Plain(chain) => run_plain(head, chain, input).await,
        Worker::Waiting(waiting) => run_waiting(head, *waiting, input).await,
    }
}

async fn run_plain(head: Head, mut chain: Chain, mut input: EdgeReceiver) -> Result<(), Failure> {
    restore(&head, &mut chain).await?;
    chain.set_health(&Health::Ready);
    while let Some(parcel) = next(&head, &mut input).await? {
        let leaving = chain.apply(&head, head.node, parcel).await.map_err(|failure| head.fail(failure))?;
        head.send(leaving).await?;
    }
    chain.save(&head.states).await;
    chain.set_health(&Health::Ended);
    Ok(())
}

async fn run_waiting(head: Head, mut filter: Waiting, mut input: EdgeReceiver) -> Result<(), Failure> {
    if !filter.open(&head).await? {
        head.states.pass_on(head.node);
        return Ok(());
    }
    filter.restore(&head).await?;
    while let Some(parcel) = next(&head, &mut input).await? {
        head.meter.took(parcel.batch());
        let mut left = Some(parcel);
        while let Some(parcel) = left {
            let dealt = filter.apply(&head, parcel, Output::resumable, &mut Share::default()).await;
            let dealt = dealt.map_err(|failure| head.fail(failure))?;
            head.send(dealt.leaving).await?;
            left = dealt.left;
        }
    }
    filter.save(&head).await?;
    filter.close(&head).await;
    Ok(())
}

/// What works on batches: alone, or as one of several that do the same. Filters that can be several remember nothing, so
/// these have nothing to hand over.
pub(crate) enum Worker {
    /// Filters that are plain functions.
    Plain(Chain),
    /// One that waits, and plain ones behind it.
    Waiting(Box<Waiting>),
}

impl Worker {
    /// Another that does the same; `None` if there can only be one.
    pub(crate) fn fork(&self, head: &Head) -> Option<Self> {
        match self {
            Self::Plain(chain) => chain.fork().map(Self::Plain),
            Self::Waiting(waiting) => waiting.fork(head).map(|fork| Self::Waiting(Box::new(fork))),
        }
    }

    /// False if there was nothing left to be opened for.
    async fn open(&mut self, head: &Head) -> Result<bool, Failure> {
        match self {
            Self::Plain(chain) => {
                chain.set_health(&Health::Ready);
                Ok(true)
            }
            Self::Waiting(waiting) => waiting.open(head).await,
        }
    }

    async fn apply(&mut self, head: &Head, parcel: Parcel) -> Result<Vec<Leaving>, Failure> {
        let made = match self {
            Self::Plain(chain) => chain.apply(head, head.node, parcel).await,
            Self::Waiting(waiting) => {
                head.meter.took(parcel.batch());
                let mut alone = Share::default();
                waiting.apply(head, parcel, Output::new, &mut alone).await.map(|dealt| dealt.leaving)
            }
        };
        made.map_err(|failure| head.fail(failure))
    }

    async fn close(self, head: &Head) {
        match self {
            Self::Plain(chain) => chain.set_health(&Health::Ended),
            Self::Waiting(waiting) => waiting.close(head).await,
        }
    }
}

/// Runs workers that do the same, a task each: whichever is free takes the next batch.
pub(crate) fn run_workers(
    head: &Head,
    workers: Vec<Worker>,
    input: EdgeReceiver,
    order: bool,
    tasks: &GraphTasks,
) {
    let input = Arc::new(Mutex::new(input));
    if !order {
        for worker in workers {
            tasks.spawn(work(head.clone(), worker, Arc::clone(&input)));
        }
        return;
    }
    let (turns, results) = mpsc::channel(AHEAD * workers.len());
    for worker in workers {
        tasks.spawn(work_in_turn(head.clone(), worker, Arc::clone(&input), turns.clone()));
    }
    tasks.spawn(collect(head.clone(), results));
}

/// One worker where order is not kept: what is done goes on.
async fn work(head: Head, mut worker: Worker, input: Arc<Mutex<EdgeReceiver>>) -> Result<(), Failure> {
    if !worker.open(&head).await? {
        return Ok(());
    }
    loop {
        let parcel = next(&head, &mut *input.lock().await).await?;
        let Some(parcel) = parcel else { break };
        let_others_go().await;
        let leaving = worker.apply(&head, parcel).await?;
        head.send(leaving).await?;
    }
    worker.close(&head).await;
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
    head: Head,
    mut worker: Worker,
    input: Arc<Mutex<EdgeReceiver>>,
    turns: mpsc::Sender<Turn>,
) -> Result<(), Failure> {
    if !worker.open(&head).await? {
        return Ok(());
    }
    loop {
        let (parcel, done) = {
            let mut input = input.lock().await;
            let Some(parcel) = next(&head, &mut input).await? else { break };
            if parcel.batch().is_awaited() {
                (parcel, None)
            } else {
                let (done, turn) = oneshot::channel();
                let since = Instant::now();
                turns.send(turn).await.map_err(|_| Failure::Stopped)?;
                head.meter.waited_downstream(since);
                (parcel, Some(done))
            }
        };
        let_others_go().await;
        let leaving = worker.apply(&head, parcel).await?;
        match done {
            Some(done) => done.send(leaving).map_err(|_| Failure::Stopped)?,
            None => head.send(leaving).await?,
        }
    }
    // Others may be at the last batches still, but nothing comes that this one could do.
    drop(turns);
    worker.close(&head).await;
    Ok(())
}

/// Sends on what the workers have done, in the order of their turns.
pub(super) async fn collect(head: Head, mut turns: mpsc::Receiver<Turn>) -> Result<(), Failure> {
    while let Some(turn) = turns.recv().await {
        let leaving = turn.await.map_err(|_| Failure::Stopped)?;
        head.send(leaving).await?;
    }
    Ok(())
}
