//! Segments that stand between edges: filters that are plain functions, spread over workers if asked for, and
//! filters that wait.

use std::sync::Arc;
use std::time::Instant;

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::erased::ErasedAsyncFilter;
use tidegate_sdk::{Class, Output, Rejection};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::StreamExt;

use super::Head;
use crate::chain::{Chain, Leaving, reject, settle};
use crate::edge::EdgeReceiver;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::parcel::Parcel;
use crate::plan::MAIN;
use crate::state::saved;
use crate::status::Health;
use crate::tries::Tries;

/// How many batches for each worker may be in work, or done before their turn.
const AHEAD: usize = 2;

/// Where what comes of a batch will be.
type Turn = oneshot::Receiver<Vec<Leaving>>;

/// Takes the next parcel from an edge, counting how long that took.
async fn next(head: &Head, input: &mut EdgeReceiver) -> Result<Option<Parcel>, Failure> {
    let since = Instant::now();
    let parcel = tokio::select! {
        parcel = input.next() => parcel,
        () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
    };
    head.meter.waited_upstream(since);
    Ok(parcel)
}

/// Gives filters back what they remember. That may have to wait until the sources know where they read on.
async fn restore(head: &Head, chain: &mut Chain) -> Result<(), Failure> {
    tokio::select! {
        () = chain.restore(&head.states) => Ok(()),
        () = head.hard_stop().cancelled() => Err(Failure::Stopped),
    }
}

/// Filters that are plain functions, in one task.
pub(crate) async fn run(head: Head, mut chain: Chain, mut input: EdgeReceiver) -> Result<(), Failure> {
    restore(&head, &mut chain).await?;
    head.meter.set_health(Health::Ready);
    while let Some(parcel) = next(&head, &mut input).await? {
        let leaving = chain.apply(head.node, parcel)?;
        head.outlets.send(leaving).await?;
    }
    chain.save(&head.states).await;
    head.meter.set_health(Health::Ended);
    Ok(())
}

/// The same spread over as many tasks as there are chains: whichever is free takes the next batch.
pub(crate) fn run_workers(
    head: &Head,
    chains: Vec<Chain>,
    input: EdgeReceiver,
    order: bool,
    tasks: &GraphTasks,
) {
    head.meter.set_health(Health::Ready);
    let input = Arc::new(Mutex::new(input));
    if !order {
        for chain in chains {
            tasks.spawn(work(head.clone(), chain, Arc::clone(&input)));
        }
        return;
    }
    let (turns, results) = mpsc::channel(AHEAD * chains.len());
    for chain in chains {
        tasks.spawn(work_in_turn(head.clone(), chain, Arc::clone(&input), turns.clone()));
    }
    tasks.spawn(collect(head.clone(), results));
}

/// One worker where order is not kept: what is done goes on.
async fn work(head: Head, mut chain: Chain, input: Arc<Mutex<EdgeReceiver>>) -> Result<(), Failure> {
    loop {
        let parcel = next(&head, &mut *input.lock().await).await?;
        let Some(parcel) = parcel else { break };
        let_others_go().await;
        let leaving = chain.apply(head.node, parcel)?;
        head.outlets.send(leaving).await?;
    }
    head.meter.set_health(Health::Ended);
    Ok(())
}

/// Whoever waits for the input was woken to run next on this thread, where no other thread can take it over: it would
/// wait until this worker is done with its batch.
async fn let_others_go() {
    tokio::task::yield_now().await;
}

/// One worker where order is kept: with each batch it takes a turn, and what is done goes on in the order of the turns.
async fn work_in_turn(
    head: Head,
    mut chain: Chain,
    input: Arc<Mutex<EdgeReceiver>>,
    turns: mpsc::Sender<Turn>,
) -> Result<(), Failure> {
    loop {
        let (parcel, done) = {
            let mut input = input.lock().await;
            let Some(parcel) = next(&head, &mut input).await? else { break };
            let (done, turn) = oneshot::channel();
            let since = Instant::now();
            turns.send(turn).await.map_err(|_| Failure::Stopped)?;
            head.meter.waited_downstream(since);
            (parcel, done)
        };
        let_others_go().await;
        let leaving = chain.apply(head.node, parcel)?;
        done.send(leaving).map_err(|_| Failure::Stopped)?;
    }
    head.meter.set_health(Health::Ended);
    Ok(())
}

/// Sends on what the workers have done, in the order of their turns.
async fn collect(head: Head, mut turns: mpsc::Receiver<Turn>) -> Result<(), Failure> {
    while let Some(turn) = turns.recv().await {
        let leaving = turn.await.map_err(|_| Failure::Stopped)?;
        head.outlets.send(leaving).await?;
    }
    Ok(())
}

/// A filter that waits, and the plain ones behind it.
pub(crate) async fn run_async(
    head: Head,
    mut filter: Box<dyn ErasedAsyncFilter>,
    mut chain: Chain,
    retry: RetryOptions,
    mut input: EdgeReceiver,
) -> Result<(), Failure> {
    let mut tries = Tries::new(&retry, &head.meter, &head.cx, head.hard_stop());
    if !tries.open(&mut filter, &head.idle).await? {
        head.states.pass_on(head.node);
        return Ok(());
    }
    restore_async(&head, filter.as_mut()).await?;
    restore(&head, &mut chain).await?;
    while let Some(parcel) = next(&head, &mut input).await? {
        head.meter.took(parcel.batch());
        let mut left = Some(parcel);
        while let Some(parcel) = left {
            let dealt = process(&head, filter.as_mut(), &mut tries, parcel).await?;
            for piece in dealt.leaving {
                let leaving = match piece {
                    Leaving::Events { output: OutputName::Port(MAIN), parcel, .. } => {
                        chain.apply(head.node, parcel)?
                    }
                    other => vec![other],
                };
                head.outlets.send(leaving).await?;
            }
            left = dealt.left;
        }
    }
    chain.save(&head.states).await;
    save_async(&head, filter.as_mut()).await?;
    if let Err(error) = filter.close(&head.cx).await {
        tracing::warn!(component = head.meter.name(), "closing: {error}");
    }
    head.cx.tasks().joined().await;
    head.meter.set_health(Health::Ended);
    Ok(())
}

async fn restore_async(head: &Head, filter: &mut dyn ErasedAsyncFilter) -> Result<(), Failure> {
    let states = &head.states;
    let restored = async {
        if let Some(state) = states.before(head.node).await {
            states.restored(head.node, state.len(), filter.restore(&state, &head.cx).await);
        }
    };
    tokio::select! {
        () = restored => Ok(()),
        () = head.hard_stop().cancelled() => Err(Failure::Stopped),
    }
}

async fn save_async(head: &Head, filter: &mut dyn ErasedAsyncFilter) -> Result<(), Failure> {
    if !head.states.are_wanted() {
        return Ok(());
    }
    let state = tokio::select! {
        state = saved(head.meter.name(), filter.save(&head.cx)) => state,
        () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
    };
    head.states.save(head.node, state);
    Ok(())
}

/// What became of a parcel in one call.
struct Dealt {
    leaving: Vec<Leaving>,
    /// The events that the filter has left for the next call.
    left: Option<Parcel>,
}

/// What the filter makes of one parcel, tried until it goes through or the tries are used up.
async fn process(
    head: &Head,
    filter: &mut dyn ErasedAsyncFilter,
    tries: &mut Tries,
    parcel: Parcel,
) -> Result<Dealt, Failure> {
    let count = parcel.batch().len();
    loop {
        let mut out = Output::resumable();
        let busy = head.meter.busy();
        let result = tokio::select! {
            result = filter.process(parcel.batch(), &mut out, &head.cx) => result,
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        drop(busy);
        let given_up = match &result {
            Ok(()) => {
                tries.went_well();
                let from = out.take_left().filter(|from| (1..count).contains(from));
                let left = from.map(|from| parcel.select(from..count));
                return Ok(Dealt { leaving: settle(head.node, &head.meter, parcel, out), left });
            }
            Err(error) if error.class() == Class::Reject => Some(error.to_string()),
            Err(error) => {
                let (tried, again) = (tries.failures() + 1, tries.again(error).await?);
                (!again).then(|| format!("given up after {tried} tries: {error}"))
            }
        };
        if let Some(reason) = given_up {
            let all = (0..count).map(|event| Rejection { event, reason: reason.clone() });
            let leaving = reject(head.node, &head.meter, &parcel, all.collect());
            parcel.done();
            return Ok(Dealt { leaving: leaving.into_iter().collect(), left: None });
        }
    }
}
