//! Trying again: what the engine does around every call of a plugin that can fail.

use std::sync::Arc;

use tidegate_config::RetryOptions;
use tidegate_sdk::erased::{ErasedAsyncFilter, ErasedSink, ErasedSource, Promise};
use tidegate_sdk::{Class, Cx, Error};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::status::Health;

/// What can be opened: a source, a filter that waits, a sink.
pub(crate) trait Open: Send {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>>;
}

impl Open for Box<dyn ErasedSource> {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        self.as_mut().open(cx)
    }
}

impl Open for Box<dyn ErasedAsyncFilter> {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        self.as_mut().open(cx)
    }
}

impl Open for Box<dyn ErasedSink> {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Error>> {
        self.as_mut().open(cx)
    }
}

/// The tries of one component: pauses between them, its health, and what the log says of it.
pub(crate) struct Tries {
    backoff: Backoff,
    attempts: Option<u32>,
    meter: Arc<Meter>,
    cx: Cx,
    hard_stop: CancellationToken,
}

impl Tries {
    pub(crate) fn new(
        options: &RetryOptions,
        meter: &Arc<Meter>,
        cx: &Cx,
        hard_stop: &CancellationToken,
    ) -> Self {
        Self {
            backoff: Backoff::new(options),
            attempts: options.attempts,
            meter: Arc::clone(meter),
            cx: cx.clone(),
            hard_stop: hard_stop.clone(),
        }
    }

    /// It went through.
    pub(crate) fn went_well(&mut self) {
        if self.backoff.failures() > 0 {
            tracing::info!(component = self.meter.name(), "works again");
        }
        if self.backoff.failures() > 0 || !self.meter.is_ready() {
            self.meter.set_health(Health::Ready);
        }
        self.backoff.reset();
    }

    /// How many tries failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// It failed with `error`, which is not about single events: waits until it is time for another try.
    /// False if the tries are used up. A drain that begins meanwhile ends the pause: one try at once, then the
    /// pauses go on.
    pub(crate) async fn again(&mut self, error: &Error) -> Result<bool, Failure> {
        match error.class() {
            Class::Fatal => return Err(Failure::fatal(self.meter.name(), error)),
            Class::Replay => return Err(Failure::Replay(format!("`{}`: {error}", self.meter.name()))),
            _ => {}
        }
        let pause = self.backoff.pause(error, rand::random());
        let failures = self.backoff.failures();
        if error.class() != Class::Busy {
            self.meter.retried();
            if self.attempts.is_some_and(|attempts| failures >= attempts) {
                self.backoff.reset();
                return Ok(false);
            }
        }
        let (health, again) = match error.class() {
            Class::Misconfigured => {
                (Health::Unhealthy(error.message().to_owned()), "has to wait for a change")
            }
            Class::Busy => (Health::Waiting(error.message().to_owned()), "waits"),
            _ => (Health::Waiting(error.message().to_owned()), "tries again"),
        };
        let changed = self.meter.set_health(health);
        let seconds = pause.as_secs_f64();
        // The first of a row is worth a line, then ever fewer of them.
        match changed || failures.is_power_of_two() {
            true => tracing::warn!(component = self.meter.name(), "{again} in {seconds:.1} s: {error}"),
            false => tracing::debug!(component = self.meter.name(), "{again} in {seconds:.1} s: {error}"),
        }
        let draining = self.cx.is_stopping();
        tokio::select! {
            () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
            () = self.cx.stopping(), if !draining => {}
            () = tokio::time::sleep(pause) => {}
        }
        Ok(true)
    }

    /// Opens a component, again until it succeeds. False if `needless` resolves first: nothing is left to be opened for.
    pub(crate) async fn open(
        &mut self,
        component: &mut dyn Open,
        needless: &CancellationToken,
    ) -> Result<bool, Failure> {
        let cx = self.cx.clone();
        loop {
            let opened = tokio::select! {
                opened = component.open(&cx) => opened,
                () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
                () = needless.cancelled() => return Ok(false),
            };
            let Err(error) = opened else {
                self.went_well();
                return Ok(true);
            };
            tokio::select! {
                again = self.again(&error) => { again?; }
                () = needless.cancelled() => return Ok(false),
            }
        }
    }
}
