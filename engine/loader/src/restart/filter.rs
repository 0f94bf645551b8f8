//! Filters that are restarted when they break, and receive their unfinished batch again.
//!
//! A restarted filter has no state. The state that the broken one restored is not used again, because it may have caused
//! the break.

use tidegate_sdk::{
    AsyncFilter, Batch, ConfigError, Cx, Error, Exclusive, Filter, Output, Rejection, async_trait,
};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{drop_if_broken, gave_up, lifecycle_result, reason};
use crate::link::{Fault, FilterLink, InstanceContext, Link, PlainLink};

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
    link: Option<Box<dyn FilterLink>>,
    policy: RestartPolicy,
}

impl RestartingFilter {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, link: None }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Filter(mut link) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no filter any more"));
        };
        lifecycle_result(link.open(cx).await, "opened")?;
        self.link = Some(link);
        Ok(())
    }

    async fn once(&mut self, batch: &Batch, resumable: bool, cx: &Cx) -> Result<Output, Fault> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("the instance is started");
        let made = link.process(batch, resumable, cx).await;
        drop_if_broken(&mut self.link, made)
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
            match self.once(&part, whole && out.is_resumable(), cx).await {
                Ok(mut made) => {
                    let left = made.take_left();
                    merge(out, made, range.start);
                    if let Some(left) = left.filter(|_| whole) {
                        let _ = out.leave_from(left);
                    }
                    bisection.survived();
                }
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Broken(why)) => {
                    let pause = self.policy.broke_at(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.policy.found_cause();
                            out.reject(event, reason(&why));
                        }
                        Verdict::GiveUp => return Err(gave_up(&why)),
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

    async fn save(&mut self, cx: &Cx) -> Option<Vec<u8>> {
        let saved = self.link.as_mut()?.save(cx).await;
        kept(drop_if_broken(&mut self.link, saved), cx.component())
    }

    async fn restore(&mut self, state: &[u8], cx: &Cx) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Err("the plugin is not open".into()) };
        let restored = link.restore(state, cx).await;
        drop_if_broken(&mut self.link, restored).map_err(refused)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.link.take() {
            Some(mut link) => lifecycle_result(link.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

/// A filter whose calls return at once.
pub(crate) struct RestartingPlainFilter {
    spec: InstanceSpec,
    link: Box<dyn FilterLink>,
    policy: RestartPolicy,
}

impl RestartingPlainFilter {
    pub(crate) fn new(spec: InstanceSpec, link: Box<dyn FilterLink>) -> Self {
        Self { policy: RestartPolicy::new(&spec), spec, link }
    }

    fn renew(&mut self) -> Result<(), Error> {
        let context =
            InstanceContext { component: self.spec.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.spec.factory.create(&self.spec.options, &context) {
            Ok((Link::Filter(link), _)) => self.link = link,
            Ok(_) => return Err(Error::fatal("the plugin is no filter any more")),
            Err(error) => return Err(Error::fatal(format!("no instance can be created: {error}"))),
        }
        Ok(())
    }

    fn plain(&mut self) -> &mut dyn PlainLink {
        self.link.plain().expect("the filter was plain when it was built")
    }
}

impl Filter for RestartingPlainFilter {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        match self.plain().process(batch) {
            Ok(made) => *out = made,
            Err(Fault::Error(error)) => return Err(error),
            Err(Fault::Broken(why)) => {
                let mut bisection = Bisection::of(batch.len());
                self.broke(&mut bisection, &why, out)?;
                while let Some(range) = bisection.next() {
                    match self.plain().process(&batch.select(range.clone())) {
                        Ok(made) => {
                            merge(out, made, range.start);
                            bisection.survived();
                        }
                        Err(Fault::Error(error)) => return Err(error),
                        Err(Fault::Broken(why)) => self.broke(&mut bisection, &why, out)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        if !self.spec.capabilities.parallel {
            return None;
        }
        let context =
            InstanceContext { component: self.spec.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.spec.factory.create(&self.spec.options, &context) {
            Ok((Link::Filter(link), _)) => Some(Box::new(Self::new(self.spec.clone(), link))),
            _ => None,
        }
    }

    fn save(&mut self) -> Option<Vec<u8>> {
        let saved = self.plain().save();
        kept(saved, &self.spec.plugin)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let restored = self.plain().restore(state);
        if matches!(restored, Err(Fault::Broken(_))) {
            self.renew().map_err(|error| error.to_string())?;
        }
        restored.map_err(refused)
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

/// The saved state. If saving failed, logs the reason and returns none.
fn kept(saved: Result<Option<Vec<u8>>, Fault>, component: &str) -> Option<Vec<u8>> {
    saved.unwrap_or_else(|fault| {
        tracing::warn!(component, "passes on no state: {}", refused(fault));
        None
    })
}

/// The reason why a state was not saved or restored.
fn refused(fault: Fault) -> String {
    match fault {
        Fault::Error(error) => error.message().to_owned(),
        Fault::Broken(why) => format!("the plugin {why}"),
    }
}

impl RestartingPlainFilter {
    fn broke(&mut self, bisection: &mut Bisection, why: &str, out: &mut Output) -> Result<(), Error> {
        // Plain filters do not wait, so the delay is ignored.
        let _ = self.policy.broke(&self.spec.plugin, why)?;
        self.renew()?;
        match bisection.broke() {
            Verdict::Again => {}
            Verdict::Reject(event) => out.reject(event, reason(why)),
            // A plain filter cannot be retried, so the component fails.
            Verdict::GiveUp => return Err(Error::fatal(gave_up(why).message())),
        }
        Ok(())
    }
}
