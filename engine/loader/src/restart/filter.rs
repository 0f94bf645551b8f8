//! Filters that are restarted when they break, and receive their unfinished batch again.
//!
//! A restarted filter has no state. The state that the broken one restored is not used again, because it may have caused
//! the break.

use tidegate_sdk::{
    AsyncFilter, Attempt, Batch, Component, ConfigError, Cx, Error, Exclusive, Filter, Output, Rejection,
    async_trait,
};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{broken, drop_if_broken, gave_up, lifecycle_result, reason};
use crate::factory::InstanceContext;

/// Appends the output for a part of a batch to the output for the parts before it.
fn merge(whole: &mut Output, mut part: Output, start: usize) {
    let (emitted, rejected) = part.take();
    emitted.into_iter().for_each(|(port, batch)| whole.emit_to(port, batch));
    let shifted = |one: Rejection| whole.reject(one.event + start, one.reason);
    rejected.into_iter().for_each(shifted);
}

/// A filter whose calls are awaited.
pub(crate) struct RestartingFilter {
    spec: InstanceSpec,
    instance: Option<Box<dyn AsyncFilter>>,
    policy: RestartPolicy,
}

impl RestartingFilter {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, instance: None }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Component::AsyncFilter(mut instance) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no filter any more, or does not wait any more"));
        };
        lifecycle_result(instance.open(cx).await, "opened")?;
        self.instance = Some(instance);
        Ok(())
    }

    async fn once(&mut self, batch: &Batch, mut output: Output, cx: &Cx) -> Result<Output, Error> {
        if self.instance.is_none() {
            self.start(cx).await?;
        }
        let instance = self.instance.as_mut().expect("the instance is started");
        let processed = instance.process(batch, &mut output, cx).await;
        drop_if_broken(&mut self.instance, processed).map(|()| output)
    }
}

#[async_trait]
impl AsyncFilter for RestartingFilter {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut bisection = Bisection::of(batch.len());
        while let Some(range) = bisection.next() {
            let whole = range.len() == batch.len();
            let part = if whole { batch.clone() } else { batch.select(range.clone()) };
            let resumable = whole && out.is_resumable();
            let output = Output::new(&part).resumable_if(resumable).in_attempt(out.attempt());
            match self.once(&part, output, cx).await {
                Ok(mut made) => {
                    let deferred = made.take_deferred();
                    merge(out, made, range.start);
                    if let Some(event) = deferred.filter(|_| whole) {
                        let _ = out.defer_from(event);
                    }
                    bisection.survived();
                }
                Err(error) => {
                    let Some(why) = broken(&error) else { return Err(error) };
                    let pause = self.policy.broke_at(whole, cx.component(), why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.policy.found_cause();
                            out.reject(event, reason(why));
                        }
                        Verdict::GiveUp => return Err(gave_up(why)),
                    }
                }
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        self.spec
            .capabilities
            .parallel
            .then(|| Box::new(Self::new(self.spec.clone())) as Box<dyn AsyncFilter>)
    }

    fn outputs(&self) -> Vec<String> {
        self.spec.capabilities.outputs.clone()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.spec.capabilities.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.spec.capabilities.warnings.clone()
    }

    fn explain(&self) -> Option<String> {
        self.spec.capabilities.explain.clone()
    }

    async fn save(&mut self, cx: &Cx) -> Result<Option<Vec<u8>>, Error> {
        let Some(instance) = &mut self.instance else { return Ok(None) };
        let saved = instance.save(cx).await;
        drop_if_broken(&mut self.instance, saved).map_err(state_error)
    }

    async fn restore(&mut self, state: &[u8], cx: &Cx) -> Result<(), Error> {
        let Some(instance) = &mut self.instance else {
            return Err(Error::fatal("the plugin is not open"));
        };
        let restored = instance.restore(state, cx).await;
        drop_if_broken(&mut self.instance, restored).map_err(state_error)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.instance.take() {
            Some(mut instance) => lifecycle_result(instance.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

/// The reason why a state was not saved or restored.
fn state_error(error: Error) -> Error {
    match broken(&error) {
        Some(why) => Error::retry(format!("the plugin {why}")),
        None => error,
    }
}

/// A filter whose calls return at once.
pub(crate) struct RestartingPlainFilter {
    spec: InstanceSpec,
    instance: Box<dyn Filter>,
    policy: RestartPolicy,
}

impl RestartingPlainFilter {
    pub(crate) fn new(spec: InstanceSpec, instance: Box<dyn Filter>) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, instance }
    }

    fn create(&self) -> Result<Box<dyn Filter>, Error> {
        let context =
            InstanceContext { component: self.spec.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.spec.factory.create(&self.spec.options, &context) {
            Ok((Component::Filter(instance), _)) => Ok(instance),
            Ok(_) => Err(Error::fatal("the plugin is no filter any more, or waits now")),
            Err(error) => Err(Error::fatal(format!("no instance can be created: {error}"))),
        }
    }

    /// Processes a batch with an output of its own, which is lost if the instance breaks.
    fn once(&mut self, batch: &Batch, attempt: Attempt) -> Result<Output, Error> {
        let mut output = Output::new(batch).in_attempt(attempt);
        self.instance.process(batch, &mut output).map(|()| output)
    }

    fn broke(&mut self, bisection: &mut Bisection, why: &str, out: &mut Output) -> Result<(), Error> {
        // Plain filters do not wait, so the delay is ignored.
        let _ = self.policy.broke(&self.spec.plugin, why)?;
        self.instance = self.create()?;
        match bisection.broke() {
            Verdict::Again => {}
            Verdict::Reject(event) => out.reject(event, reason(why)),
            // A plain filter cannot be retried, so the component fails.
            Verdict::GiveUp => return Err(Error::fatal(gave_up(why).message())),
        }
        Ok(())
    }
}

impl Filter for RestartingPlainFilter {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let mut bisection = Bisection::of(batch.len());
        while let Some(range) = bisection.next() {
            let whole = range.len() == batch.len();
            let part = if whole { batch.clone() } else { batch.select(range.clone()) };
            let made = self.once(&part, out.attempt());
            match made {
                Ok(made) => {
                    merge(out, made, range.start);
                    bisection.survived();
                }
                Err(error) => match broken(&error) {
                    Some(why) => self.broke(&mut bisection, why, out)?,
                    None => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        if !self.spec.capabilities.parallel {
            return None;
        }
        let instance = self.create().ok()?;
        Some(Box::new(Self::new(self.spec.clone(), instance)))
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.instance.save().map_err(state_error)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let restored = self.instance.restore(state);
        if restored.as_ref().is_err_and(|error| broken(error).is_some()) {
            self.instance = self.create()?;
        }
        restored.map_err(state_error)
    }

    fn outputs(&self) -> Vec<String> {
        self.spec.capabilities.outputs.clone()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.spec.capabilities.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.spec.capabilities.warnings.clone()
    }

    fn explain(&self) -> Option<String> {
        self.spec.capabilities.explain.clone()
    }
}
