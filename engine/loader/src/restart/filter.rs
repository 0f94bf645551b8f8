//! Filters that are made anew when they break, and are given again what they have not answered for.
//!
//! One that is made anew remembers nothing: what the one before it knew is gone with it, and what it was given to begin
//! with is no help, because it may be what broke it.

use tidegate_sdk::erased::ErasedAsyncFilter;
use tidegate_sdk::{AsyncFilter, Batch, ConfigError, Cx, Error, Exclusive, Filter, Output, Rejection};

use super::bisect::{Bisection, Verdict};
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{blameless, gave_up, reason, unless_broken};
use crate::link::{Fault, FilterLink, InstanceContext, Link, PlainLink};

/// Puts what was made of a part of a batch to what was made of the parts before it.
fn merge(whole: &mut Output, mut part: Output, start: usize) {
    let (emitted, rejected) = part.take();
    emitted.into_iter().for_each(|(port, batch)| whole.emit_to(port, batch));
    let shifted = |one: Rejection| whole.reject(one.event + start, one.reason);
    rejected.into_iter().for_each(shifted);
}

/// A filter that is called through a task of its own.
pub(crate) struct RestartingFilter {
    recipe: InstanceSpec,
    link: Option<Box<dyn FilterLink>>,
    breaks: RestartPolicy,
}

impl RestartingFilter {
    pub(crate) fn new(recipe: InstanceSpec) -> Self {
        Self { breaks: RestartPolicy::new(&recipe), recipe, link: None }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Filter(mut link) = self.recipe.make(cx).await? else {
            return Err(Error::fatal("the plugin is no filter any more"));
        };
        blameless(link.open(cx).await, "opened")?;
        self.link = Some(link);
        Ok(())
    }

    async fn once(&mut self, batch: &Batch, resumable: bool, cx: &Cx) -> Result<Output, Fault> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("it was just started");
        let made = link.process(batch, resumable, cx).await;
        unless_broken(&mut self.link, made)
    }
}

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
                        let _known_to_work = out.leave_from(left);
                    }
                    bisection.survived();
                }
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Broken(why)) => {
                    let pause = self.breaks.of(whole, cx.component(), &why)?;
                    match bisection.broke() {
                        Verdict::Again => drop(cx.sleep(pause).await),
                        Verdict::Reject(event) => {
                            self.breaks.explained();
                            out.reject(event, reason(&why));
                        }
                        Verdict::GiveUp => return Err(gave_up(&why)),
                    }
                }
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn ErasedAsyncFilter>> {
        self.recipe
            .facts
            .parallel
            .then(|| Box::new(Self::new(self.recipe.clone())) as Box<dyn ErasedAsyncFilter>)
    }

    fn outputs(&self) -> Vec<String> {
        self.recipe.facts.outputs.clone()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.recipe.facts.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.recipe.facts.warnings.clone()
    }

    fn explain(&self) -> Option<String> {
        self.recipe.facts.explain.clone()
    }

    async fn save(&mut self, cx: &Cx) -> Option<Vec<u8>> {
        let saved = self.link.as_mut()?.save(cx).await;
        kept(unless_broken(&mut self.link, saved), cx.component())
    }

    async fn restore(&mut self, state: &[u8], cx: &Cx) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Err("the plugin is not open".into()) };
        let restored = link.restore(state, cx).await;
        unless_broken(&mut self.link, restored).map_err(refused)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        match self.link.take() {
            Some(mut link) => blameless(link.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

/// A filter that is called where it is.
pub(crate) struct RestartingPlainFilter {
    recipe: InstanceSpec,
    link: Box<dyn FilterLink>,
    breaks: RestartPolicy,
}

impl RestartingPlainFilter {
    pub(crate) fn new(recipe: InstanceSpec, link: Box<dyn FilterLink>) -> Self {
        Self { breaks: RestartPolicy::new(&recipe), recipe, link }
    }

    fn renew(&mut self) -> Result<(), Error> {
        let who =
            InstanceContext { component: self.recipe.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.recipe.home.create(&self.recipe.options, &who) {
            Ok((Link::Filter(link), _)) => self.link = link,
            Ok(_) => return Err(Error::fatal("the plugin is no filter any more")),
            Err(error) => return Err(Error::fatal(format!("no instance can be made: {error}"))),
        }
        Ok(())
    }

    fn plain(&mut self) -> &mut dyn PlainLink {
        self.link.plain().expect("it was plain when it was built")
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
        if !self.recipe.facts.parallel {
            return None;
        }
        let who =
            InstanceContext { component: self.recipe.plugin.clone(), event_size: Cx::EVENT_SIZE.as_usize() };
        match self.recipe.home.create(&self.recipe.options, &who) {
            Ok((Link::Filter(link), _)) => Some(Box::new(Self::new(self.recipe.clone(), link))),
            _ => None,
        }
    }

    fn save(&mut self) -> Option<Vec<u8>> {
        let saved = self.plain().save();
        kept(saved, &self.recipe.plugin)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let restored = self.plain().restore(state);
        if matches!(restored, Err(Fault::Broken(_))) {
            self.renew().map_err(|error| error.to_string())?;
        }
        restored.map_err(refused)
    }

    fn outputs(&self) -> Vec<String> {
        self.recipe.facts.outputs.clone()
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.recipe.facts.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.recipe.facts.warnings.clone()
    }

    fn explain(&self) -> Option<String> {
        self.recipe.facts.explain.clone()
    }
}

/// What there is to hand over; if that failed, nothing, and the log says why.
fn kept(saved: Result<Option<Vec<u8>>, Fault>, component: &str) -> Option<Vec<u8>> {
    saved.unwrap_or_else(|fault| {
        tracing::warn!(component, "hands over no state: {}", refused(fault));
        None
    })
}

/// Why a state was not saved, or not taken over.
fn refused(fault: Fault) -> String {
    match fault {
        Fault::Error(error) => error.message().to_owned(),
        Fault::Broken(why) => format!("the plugin {why}"),
    }
}

impl RestartingPlainFilter {
    fn broke(&mut self, bisection: &mut Bisection, why: &str, out: &mut Output) -> Result<(), Error> {
        let _nobody_waits_here = self.breaks.another(&self.recipe.plugin, why)?;
        self.renew()?;
        match bisection.broke() {
            Verdict::Again => {}
            Verdict::Reject(event) => out.reject(event, reason(why)),
            // A plain filter has no other way to say that the component is of no use.
            Verdict::GiveUp => return Err(Error::fatal(gave_up(why).message())),
        }
        Ok(())
    }
}
