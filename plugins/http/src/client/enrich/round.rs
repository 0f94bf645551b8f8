//! An attempt at the events of a batch. A failure belongs to its event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use tidegate_sdk::{Attempt, Batch, Class, Cx, Error};

use super::cache::Key;
use super::{Lookup, LookupResult};
use crate::client::HttpClient;
use crate::client::http_client::Request;

/// The time for which the filter stays unready after an attempt that was the last one and got no response. An endpoint
/// that stayed unready for longer would receive no requests, and would not notice that the server is back.
const REPORTED: Duration = Duration::from_secs(30);

/// The results for the events of one batch, from one attempt to the next.
#[derive(Debug)]
pub(super) struct BatchState {
    pub(super) found: Vec<Option<LookupResult>>,
    /// The last failure of each event that has failed: the reason, and the status of the response if there was one.
    failures: Vec<Option<(String, Option<u16>)>>,
}

/// A request that failed and may succeed later.
struct Failure {
    error: Error,
    scope: Scope,
    status: Option<u16>,
}

/// The scope of a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The event only: the server responded, and may accept others.
    Event,
    /// The server: it asks for a pause, or for other credentials.
    Server,
    /// The connection: there is none, or no token.
    Connection,
    /// Unknown: the request had no response.
    Silence,
}

/// A completed request: its event, its key in the cache, and its result.
type Completed = (usize, Key, Result<LookupResult, Failure>);

impl BatchState {
    pub(super) fn new(events: usize) -> Self {
        Self { found: vec![None; events], failures: vec![None; events] }
    }

    /// Returns the events without a result; those without a request so far come first.
    fn open(&self) -> Vec<usize> {
        let mut open: Vec<usize> =
            (0..self.found.len()).filter(|event| self.found[*event].is_none()).collect();
        open.sort_by_key(|event| self.failures[*event].is_some());
        open
    }

    /// Rejects the events without a result, each with its own reason.
    fn give_up(&mut self, number: u32, error: &Error) {
        for (found, failure) in self.found.iter_mut().zip(&self.failures) {
            if found.is_none() {
                let (reason, status) =
                    failure.as_ref().map_or((error.message(), None), |(reason, status)| (reason, *status));
                let reason = format!("given up after {number} tries: {reason}");
                *found = Some(LookupResult::Rejected { reason, status });
            }
        }
    }
}

impl Lookup {
    /// Sends requests for the events of `known` without a result, several at once. Results are kept, also after an
    /// error. In the last attempt, events that fail are rejected.
    ///
    /// # Errors
    /// The failure with the longest pause, if events are left.
    pub(super) async fn find(
        &self,
        batch: &Batch,
        known: &mut BatchState,
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
                match self.request(batch, event) {
                    Ok((key, request)) => match self.cached(&key) {
                        Some(kept) => known.found[event] = Some(kept.into()),
                        None => flying.push(look_up(Arc::clone(&self.client), event, key, request)),
                    },
                    Err(reason) => known.found[event] = Some(LookupResult::rejected(reason)),
                }
            }
            // Requests under way are completed even if no new ones are started, so that they need not be repeated.
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
                        // In the last attempt each event is decided by its own response.
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

/// Returns the failure that decides what happens next: a fatal one, or else the one with the longest pause, or else one
/// that needs a change of the configuration.
fn worse(known: Option<Error>, error: Error) -> Error {
    let weight = |error: &Error| {
        (error.class() == Class::Fatal, error.retry_after(), error.class() == Class::Misconfigured)
    };
    match known {
        Some(known) if weight(&known) >= weight(&error) => known,
        _ => error,
    }
}

/// Sends the request for one event.
async fn look_up(client: Arc<HttpClient>, event: usize, key: Key, request: Request) -> Completed {
    (event, key, lookup_result(&client, &request).await)
}

async fn lookup_result(client: &HttpClient, request: &Request) -> Result<LookupResult, Failure> {
    let response = match client.send(request).await {
        Ok(response) => response,
        // A repeated lookup does no harm, so no failure of it is ambiguous.
        Err(error) if error.class() == Class::Ambiguous => {
            return Err(Failure {
                error: Error::retry(error.message()),
                scope: Scope::Silence,
                status: None,
            });
        }
        Err(error) => return Err(Failure { error, scope: Scope::Connection, status: None }),
    };
    let status = response.status;
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(LookupResult::Missing);
    }
    match (response.error(), response.fault) {
        (Some(error), _) if error.class() == Class::Reject => {
            Ok(LookupResult::Rejected { reason: error.message().into(), status: Some(status.as_u16()) })
        }
        (Some(error), _) => {
            let about_the_server = error.class() == Class::Misconfigured
                || error.retry_after().is_some()
                || status == StatusCode::TOO_MANY_REQUESTS;
            let scope = if about_the_server { Scope::Server } else { Scope::Event };
            Err(Failure { error, scope, status: Some(status.as_u16()) })
        }
        (None, Some(fault)) if fault.class() == Class::Reject => Ok(LookupResult::rejected(fault.message())),
        (None, Some(fault)) => {
            Err(Failure { error: fault, scope: Scope::Event, status: Some(status.as_u16()) })
        }
        (None, None) => Ok(LookupResult::Response(response.body)),
    }
}
