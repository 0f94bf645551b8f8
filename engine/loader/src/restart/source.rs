//! A source that is restarted when it breaks, and resumes after the last batch that it has returned.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_sdk::{
    Commit, Component, ConfigError, Cx, Error, Exclusive, Position, Replay, Source, SourceBatch, async_trait,
};

use super::policy::RestartPolicy;
use super::spec::InstanceSpec;
use super::{broken, lifecycle_result};

/// A source that is restarted when it breaks.
pub(crate) struct RestartingSource {
    spec: InstanceSpec,
    instance: Option<Box<dyn Source>>,
    /// The positions after the last batches, whether these are delivered or not.
    positions: BTreeMap<String, Position>,
    committer: SharedCommitter,
    policy: RestartPolicy,
}

/// A committer that is locked during a commit.
type Committer = Arc<tokio::sync::Mutex<Box<dyn Commit>>>;

/// The committer of the current instance.
#[derive(Clone, Default)]
struct SharedCommitter(Arc<Mutex<Option<Committer>>>);

impl SharedCommitter {
    fn set(&self, committer: Option<Box<dyn Commit>>) {
        *self.0.lock() = committer.map(|committer| Arc::new(tokio::sync::Mutex::new(committer)));
    }
}

impl RestartingSource {
    pub(crate) fn new(spec: InstanceSpec) -> Self {
        let (policy, committer) = (RestartPolicy::new(&spec), SharedCommitter::default());
        Self { spec, instance: None, positions: BTreeMap::new(), committer, policy }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        let Component::Source(mut instance) = self.spec.create(cx).await? else {
            return Err(Error::fatal("the plugin is no source any more"));
        };
        let mut resume = cx.resume_all().clone();
        resume.extend(self.positions.iter().map(|(name, position)| (name.clone(), position.clone())));
        lifecycle_result(instance.open(&cx.clone().with_resume(resume)).await, "opened")?;
        self.committer.set(instance.committer());
        self.instance = Some(instance);
        Ok(())
    }
}

#[async_trait]
impl Source for RestartingSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.instance.is_none() {
            self.start(cx).await?;
        }
        let instance = self.instance.as_mut().expect("the instance is started");
        match instance.next(cx).await {
            Ok(Some(read)) => {
                for run in read.batch.runs() {
                    if let Some(position) = &run.origin.position {
                        self.positions.insert(run.origin.partition.to_string(), position.clone());
                    }
                }
                Ok(Some(read))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let Some(why) = broken(&error) else { return Err(error) };
                self.instance = None;
                self.committer.set(None);
                let pause = self.policy.broke(cx.component(), why)?;
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

    fn transaction_domain(&self) -> Result<String, Error> {
        self.spec.capabilities.transaction_domain.clone().map_err(Error::fatal)
    }

    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        let wants_commit = self.spec.capabilities.wants_commit;
        wants_commit.then(|| Box::new(self.committer.clone()) as Box<dyn Commit>)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.committer.set(None);
        match self.instance.take() {
            Some(mut instance) => lifecycle_result(instance.close(cx).await, "closed"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Commit for SharedCommitter {
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error> {
        let committer = self.0.lock().clone();
        let Some(committer) = committer else {
            return Err(Error::retry("the plugin is not there at the moment"));
        };
        let committed = committer.lock().await.commit(partition, position).await;
        committed.map_err(|error| match broken(&error) {
            Some(why) => Error::retry(format!("the plugin {why} at a commit")),
            None => error,
        })
    }
}
