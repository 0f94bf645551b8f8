//! A filter that waits: tried until a batch is through; then the plain filters downstream are called.

use tidegate_config::{OutputName, RetryOptions};
use tidegate_sdk::{AsyncFilter, Class, Output};

use super::Head;
use super::filters::restore;
use super::share::Share;
use crate::chain::{Chain, Leaving, reject_all, settle};
use crate::failure::Failure;
use crate::parcel::Parcel;
use crate::plan::MAIN;
use crate::state::saved;
use crate::status::Health;
use crate::tries::Tries;

/// A filter that waits, and the plain ones behind it.
pub(crate) struct Waiting {
    filter: Box<dyn AsyncFilter>,
    behind: Chain,
    retry: RetryOptions,
    tries: Tries,
}

/// What became of a parcel in one call.
pub(super) struct Dealt {
    pub(super) leaving: Vec<Leaving>,
    /// The events that the filter has left for the next call.
    pub(super) left: Option<Parcel>,
}

impl Waiting {
    /// One that is not open yet.
    pub(crate) fn new(head: &Head, filter: Box<dyn AsyncFilter>, behind: Chain, retry: RetryOptions) -> Self {
        let tries = Tries::new(&retry, &head.meter, &head.cx, head.hard_stop());
        Self { filter, behind, retry, tries }
    }

    /// Another that does the same, not open yet; `None` if one of the filters cannot be forked.
    pub(super) fn fork(&self, head: &Head) -> Option<Self> {
        Some(Self::new(head, self.filter.fork()?, self.behind.fork()?, self.retry))
    }

    pub(super) async fn open(&mut self, head: &Head) -> Result<bool, Failure> {
        let is_open = self.tries.open(&mut self.filter, &head.idle).await?;
        self.behind.set_health(if is_open { &Health::Ready } else { &Health::Ended });
        Ok(is_open)
    }

    /// Gives it, and those behind it, back what they remember.
    pub(super) async fn restore(&mut self, head: &Head) -> Result<(), Failure> {
        let states = &head.states;
        let restored = async {
            if let Some(state) = states.before(head.node).await {
                states.restored(head.node, state.len(), self.filter.restore(&state, &head.cx).await);
            }
        };
        tokio::select! {
            () = restored => {}
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        }
        restore(head, &mut self.behind).await
    }

    /// Saves what they remember, if that is wanted.
    pub(super) async fn save(&mut self, head: &Head) -> Result<(), Failure> {
        self.behind.save(&head.states).await;
        if !head.states.are_wanted() {
            return Ok(());
        }
        let state = tokio::select! {
            state = saved(head.meter.name(), self.filter.save(&head.cx)) => state,
            () = head.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        head.states.save(head.node, state);
        Ok(())
    }

    /// What becomes of a parcel. The filter puts it out into what `out` makes.
    pub(super) async fn apply(
        &mut self,
        head: &Head,
        parcel: Parcel,
        out: fn() -> Output,
        share: &mut Share,
    ) -> Result<Dealt, Failure> {
        let made = self.process(head, parcel, out, share).await?;
        let mut leaving = Vec::with_capacity(made.leaving.len());
        for piece in made.leaving {
            match piece {
                Leaving::Events { output: OutputName::Port(MAIN), parcel, .. } => {
                    leaving.extend(self.behind.apply(head, head.node, parcel).await?);
                }
                other => leaving.push(other),
            }
        }
        Ok(Dealt { leaving, left: made.left })
    }

    pub(super) async fn close(mut self, head: &Head) {
        if let Err(error) = self.filter.close(&head.cx).await {
            tracing::warn!(component = head.meter.name(), "closing: {error}");
        }
        head.cx.tasks().joined().await;
        head.meter.set_health(Health::Ended);
        self.behind.set_health(&Health::Ended);
    }

    /// What the filter makes of one parcel, tried until it goes through, the tries are used up, or nobody waits for
    /// it any more.
    async fn process(
        &mut self,
        head: &Head,
        parcel: Parcel,
        out: fn() -> Output,
        share: &mut Share,
    ) -> Result<Dealt, Failure> {
        let (filter, tries) = (self.filter.as_mut(), &mut self.tries);
        let count = parcel.batch().len();
        loop {
            if parcel.batch().is_cancelled() {
                tries.cancelled();
                parcel.cancel(&head.meter);
                return Ok(Dealt { leaving: Vec::new(), left: None });
            }
            let mut out = out().in_attempt(tries.attempt());
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
                Err(_) if parcel.batch().is_cancelled() => None,
                Err(error) if error.class() == Class::Reject => Some(error.to_string()),
                Err(error) => {
                    let tried = tries.failures() + 1;
                    share.pause(parcel.batch());
                    let again = tries.again_for(error, parcel.batch()).await?;
                    share.resume(head).await?;
                    (!again).then(|| format!("given up after {tried} tries: {error}"))
                }
            };
            if let Some(reason) = given_up {
                let leaving = reject_all(head.node, &head.meter, parcel, &reason);
                return Ok(Dealt { leaving: leaving.into_iter().collect(), left: None });
            }
        }
    }
}
