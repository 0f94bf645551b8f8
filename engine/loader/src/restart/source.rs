//! A source that is restarted when it breaks, and resumes after the last batch that it has returned.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_sdk::{
    Commit, ConfigError, Cx, Error, Exclusive, Position, Replay, Source, SourceBatch, async_trait,
};

use super::lifecycle_result;
use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use crate::link::{CommitLink, Fault, Link, SourceLink};

/// A source that is restarted when it breaks.
pub(crate) struct RestartingSource {
    spec: InstanceSpec,
    link: Option<Box<dyn SourceLink>>,
    /// The positions after the last batches, whether these are delivered or not.
    places: BTreeMap<String, Position>,
    committing: Arc<Committing>,
    policy: RestartPolicy,
}

/// The commit half of the current instance.
#[derive(Default)]
struct Committing(Mutex<Option<Arc<dyn CommitLink>>>);

impl Committing {
    fn set(&self, link: Option<Arc<dyn CommitLink>>) {
        *self.0.lock() = link;
    }

    fn get(&self) -> Option<Arc<dyn CommitLink>> {
        self.0.lock().clone()
    }
}

impl RestartingSource {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        let (policy, committing) = (RestartPolicy::new(&spec), Arc::default());
        Self { spec, link: None, places: BTreeMap::new(), committing, policy }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Link::Source(mut link) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no source any more"));
        };
        let mut resume = cx.resume_all().clone();
        resume.extend(self.places.iter().map(|(name, place)| (name.clone(), place.clone())));
        lifecycle_result(link.open(cx, &resume).await, "opened")?;
        self.committing.set(Some(link.committing()));
        self.link = Some(link);
        Ok(())
    }
}

#[async_trait]
impl Source for RestartingSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.link.is_none() {
            self.start(cx).await?;
        }
        let link = self.link.as_mut().expect("the instance is started");
        match link.next(cx).await {
            Ok(Some(read)) => {
                for run in read.batch.runs() {
                    if let Some(position) = &run.origin.position {
                        self.places.insert(run.origin.partition.to_string(), position.clone());
                    }
                }
                Ok(Some(read))
            }
            Ok(None) => Ok(None),
            Err(Fault::Error(error)) => Err(error),
            Err(Fault::Broken(why)) => {
                self.link = None;
                self.committing.set(None);
                let pause = self.policy.broke(cx.component(), &why)?;
                Err(Error::retry(format!("the plugin {why}")).after(pause))
            }
        }
    }

    fn replay(&self) -> Replay {
        self.spec.capabilities.replay
    }

    fn exclusive(&self) -> Vec<Exclusive> {
        self.spec.capabilities.exclusive.clone()
    }

    fn warnings(&self) -> Vec<ConfigError> {
        self.spec.capabilities.warnings.clone()
    }

    fn domain(&self) -> Result<String, String> {
        self.spec.capabilities.transaction_domain.clone()
    }

    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        self.spec
            .capabilities
            .wants_commit
            .then(|| Box::new(Committer(Arc::clone(&self.committing))) as Box<dyn Commit>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.committing.set(None);
        match self.link.take() {
            Some(mut link) => lifecycle_result(link.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

struct Committer(Arc<Committing>);

#[async_trait]
impl Commit for Committer {
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error> {
        let Some(link) = self.0.get() else {
            return Err(Error::retry("the plugin is not there at the moment"));
        };
        match link.commit(partition, position).await {
            Ok(()) => Ok(()),
            Err(Fault::Error(error)) => Err(error),
            Err(Fault::Broken(why)) => Err(Error::retry(format!("the plugin {why} at a commit"))),
        }
    }
}
