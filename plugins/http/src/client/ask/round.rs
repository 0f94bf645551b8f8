//! One attempt at the events of a batch: each is asked about, and a failure stays with its own event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use tidegate_sdk::{Attempt, Batch, Class, Cx, Error};

use super::cache::Key;
use super::{Found, Shared};
use crate::client::Caller;
use crate::client::caller::Question;

/// The time for which the filter stays unready after a last attempt without a response. An endpoint that stayed unready
/// for longer would receive no requests, and would not notice that the server is back.
const REPORTED: Duration = Duration::from_secs(30);

/// What is known about the events of one batch, from one attempt to the next.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) found: Vec<Option<Found>>,
    /// The last failure of each event that has failed: the reason, and the status of the answer if there was one.
    failures: Vec<Option<(String, Option<u16>)>>,
}

/// A request that failed, and may go through later.
struct Failure {
    error: Error,
    scope: Scope,
    status: Option<u16>,
}

/// What a failure says about the other events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Nothing: the server answered, and others may fare better.
    Event,
    /// They would fail too: the server answered that it wants a pause, or other credentials.
    Server,
    /// They would fail too: there is no connection, or no token.
    Connection,
    /// Nothing by itself: this request had no answer.
    Silence,
}

/// A request under way: its event, its key in the cache, and what became of it.
type Asked = (usize, Key, Result<Found, Failure>);

impl Known {
    pub(super) fn new(events: usize) -> Self {
        Self { found: vec![None; events], failures: vec![None; events] }
    }

    /// The events that are still open; those that were never asked about come first.
    fn open(&self) -> Vec<usize> {
        let mut open: Vec<usize> =
            (0..self.found.len()).filter(|event| self.found[*event].is_none()).collect();
        open.sort_by_key(|event| self.failures[*event].is_some());
        open
    }

    /// Rejects what is still open, each event with its own reason.
    fn give_up(&mut self, number: u32, error: &Error) {
        for (found, failure) in self.found.iter_mut().zip(&self.failures) {
            if found.is_none() {
                let (reason, status) =
                    failure.as_ref().map_or((error.message(), None), |(reason, status)| (reason, *status));
                let reason = format!("given up after {number} tries: {reason}");
                *found = Some(Found::Rejected { reason, status });
            }
        }
    }
}

impl Shared {
    /// Asks about what is still open in `known`, several at once. What is found stays, also after an error. In the
    /// last attempt, events that fail are rejected.
    ///
    /// # Errors
    /// If events are still open: the failure with the longest pause.
    pub(super) async fn find(
        &self,
        batch: &Batch,
        known: &mut Known,
        attempt: Attempt,
        cx: &Cx,
    ) -> Result<(), Error> {
        let mut waiting = known.open().into_iter();
        let mut flying = FuturesUnordered::new();
        let (mut error, mut stopped, mut silent): (Option<Error>, bool, usize) = (None, false, 0);
        let mut succeeded = false;
        loop {
            while !stopped && flying.len() < self.parallel {
                let Some(event) = waiting.next() else { break };
                match self.question(batch, event) {
                    Ok((key, question)) => match self.cached(&key) {
                        Some(kept) => known.found[event] = Some(kept.into()),
                        None => flying.push(ask(Arc::clone(&self.caller), event, key, question)),
                    },
                    Err(reason) => known.found[event] = Some(Found::rejected(reason)),
                }
            }
            // What is under way when a round stops is waited for: it need not be asked again.
            let Some((event, key, result)) = flying.next().await else { break };
            match result {
                Ok(found) => {
                    (silent, succeeded) = (0, true);
                    self.keep(key, &found);
                    known.found[event] = Some(found);
                }
                Err(failure) => {
                    silent = if failure.scope == Scope::Silence { silent + 1 } else { 0 };
                    stopped |= match failure.scope {
                        Scope::Event => false,
                        // In the last attempt each event is judged by its own answer.
                        Scope::Server => !attempt.last,
                        Scope::Connection => true,
                        Scope::Silence => silent >= 2 * self.parallel,
                    };
                    known.failures[event] = Some((failure.error.message().to_owned(), failure.status));
                    error = Some(worse(error, failure.error));
                }
            }
        }
        if succeeded {
            cx.complaint().clear();
        }
        let Some(error) = error else { return Ok(()) };
        if error.class() == Class::Fatal {
            return Err(error);
        }
        if attempt.last {
            known.give_up(attempt.number, &error);
            if !succeeded {
                cx.complaint().set_for(error.message(), REPORTED);
            }
            return Ok(());
        }
        let (open, all) = (known.open().len(), batch.len());
        Err(if all > 1 { error.context(format_args!("{open} of {all} events wait")) } else { error })
    }
}

/// Of two failures, the one that decides what happens next: a fatal one, then the longest pause, then one that somebody
/// must act upon.
fn worse(known: Option<Error>, error: Error) -> Error {
    let weight = |error: &Error| {
        (error.class() == Class::Fatal, error.retry_after(), error.class() == Class::Misconfigured)
    };
    match known {
        Some(known) if weight(&known) >= weight(&error) => known,
        _ => error,
    }
}

/// Asks about one event.
async fn ask(caller: Arc<Caller>, event: usize, key: Key, question: Question) -> Asked {
    (event, key, answered(&caller, &question).await)
}

async fn answered(caller: &Caller, question: &Question) -> Result<Found, Failure> {
    let answer = match caller.ask(question).await {
        Ok(answer) => answer,
        // A question asked twice does no harm, so nothing about it is ambiguous.
        Err(error) if error.class() == Class::Ambiguous => {
            return Err(Failure {
                error: Error::retry(error.message()),
                scope: Scope::Silence,
                status: None,
            });
        }
        Err(error) => return Err(Failure { error, scope: Scope::Connection, status: None }),
    };
    let status = answer.status;
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(Found::Missing);
    }
    match (answer.error(), answer.fault) {
        (Some(error), _) if error.class() == Class::Reject => {
            Ok(Found::Rejected { reason: error.message().into(), status: Some(status.as_u16()) })
        }
        (Some(error), _) => {
            let about_the_server = error.class() == Class::Misconfigured
                || error.retry_after().is_some()
                || status == StatusCode::TOO_MANY_REQUESTS;
            let scope = if about_the_server { Scope::Server } else { Scope::Event };
            Err(Failure { error, scope, status: Some(status.as_u16()) })
        }
        (None, Some(fault)) if fault.class() == Class::Reject => Ok(Found::rejected(fault.message())),
        (None, Some(fault)) => {
            Err(Failure { error: fault, scope: Scope::Event, status: Some(status.as_u16()) })
        }
        (None, None) => Ok(Found::Answer(answer.body)),
    }
}
