//! A filter that waits and works on several batches at once: an answer that is late holds up no other batch.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_sdk::Output;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Head;
use super::filters::{AHEAD, Turn, collect, next};
use super::share::Share;
use super::waiting::Waiting;
use crate::edge::EdgeReceiver;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;

/// The largest number of batches under way, those that pause before another try included.
const BATCHES: usize = 1024;

/// The instances of one filter. Those at work are with their batches.
struct Crowd {
    head: Arc<Head>,
    /// Never at work: the others are forked from it.
    first: Waiting,
    idle: Arc<Mutex<Vec<Waiting>>>,
    /// Permits for events, as many as the filter works on at once.
    events: Arc<Semaphore>,
    at_once: usize,
    /// Permits for batches.
    batches: Arc<Semaphore>,
    tasks: GraphTasks,
}

/// Runs instances of `first` side by side, over at most `at_once` events. The order is restored, if it is to be kept,
/// for all but requests that wait for an answer of their own: these leave as they are ready.
pub(crate) async fn run(
    head: Head,
    mut first: Waiting,
    (at_once, order): (usize, bool),
    mut input: EdgeReceiver,
    tasks: GraphTasks,
) -> Result<(), Failure> {
    if !first.open(&head).await? {
        return Ok(());
    }
    let (turns, results) = mpsc::channel(at_once.saturating_mul(AHEAD).min(BATCHES));
    tasks.spawn(collect(head.clone(), results));
    let mut crowd = Crowd {
        head: Arc::new(head),
        first,
        idle: Arc::default(),
        events: Arc::new(Semaphore::new(at_once)),
        at_once,
        batches: Arc::new(Semaphore::new(BATCHES)),
        tasks,
    };
    crowd.dispatch(&mut input, &turns, order).await?;
    // Nothing more comes; what is under way ends first.
    drop(turns);
    let (batches, hard_stop) = (Arc::clone(&crowd.batches), crowd.head.hard_stop().clone());
    tokio::select! {
        all = batches.acquire_many(BATCHES as u32) => drop(all),
        () = hard_stop.cancelled() => return Err(Failure::Stopped),
    }
    let idle = std::mem::take(&mut *lock(&crowd.idle));
    for one in idle.into_iter().chain([crowd.first]) {
        one.close(&crowd.head).await;
    }
    Ok(())
}

impl Crowd {
    async fn dispatch(
        &mut self,
        input: &mut EdgeReceiver,
        turns: &mpsc::Sender<Turn>,
        order: bool,
    ) -> Result<(), Failure> {
        let head = &Arc::clone(&self.head);
        while let Some(parcel) = next(head, input).await? {
            head.meter.took(parcel.batch());
            let place = tokio::select! {
                place = Arc::clone(&self.batches).acquire_owned() => place,
                () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            let mut share = Share::take(head, &self.events, self.at_once, parcel.batch()).await?;
            let done = if order && !parcel.batch().is_awaited() {
                let (done, turn) = oneshot::channel();
                turns.send(turn).await.map_err(|_| Failure::Stopped)?;
                Some(done)
            } else {
                None
            };
            let (mut one, is_new) = self.instance()?;
            let (head, idle) = (Arc::clone(head), Arc::clone(&self.idle));
            self.tasks.spawn(async move {
                if is_new && !one.open(&head).await? {
                    return Err(Failure::Stopped);
                }
                let made = one.apply(&head, parcel, Output::new, &mut share).await;
                let leaving = made.map_err(|failure| head.fail(failure))?.leaving;
                // Others may work while this waits until what comes next has room.
                drop(share);
                lock(&idle).push(one);
                match done {
                    Some(done) => done.send(leaving).map_err(|_| Failure::Stopped)?,
                    None => head.send(leaving).await?,
                }
                drop(place);
                Ok(())
            });
        }
        Ok(())
    }

    /// An instance that is idle, or a new one that is to be opened.
    fn instance(&self) -> Result<(Waiting, bool), Failure> {
        if let Some(one) = lock(&self.idle).pop() {
            return Ok((one, false));
        }
        let fork = self.first.fork(&self.head);
        fork.map(|one| (one, true)).ok_or_else(|| {
            self.head.fail(Failure::fatal(self.head.meter.name(), "it cannot be forked any more"))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
