//! An instance of a plugin that may break, wherever it runs: what stands behind it is `instance` or another process, and
//! what makes it whole again is `recover`.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_sdk::erased::Promise;
use tidegate_sdk::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Output, Position, Receipts, Record,
    Replay, SourceBatch,
};

/// Why an operation failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The plugin says so.
    Error(Error),
    /// The instance is of no use any more: it panicked, crashed, hung, or broke the contract. Says how, as the end of a
    /// sentence that begins with the plugin.
    Broken(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The fault of a library that broke the contract.
pub(crate) fn broke_contract(why: impl std::fmt::Display) -> Fault {
    Fault::Broken(format!("broke the contract: {why}"))
}

/// What an instance says of itself before it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Capabilities {
    pub(crate) replay: Replay,
    pub(crate) commits: bool,
    pub(crate) settles: bool,
    pub(crate) waits: bool,
    pub(crate) parallel: bool,
    pub(crate) transactional: Result<(), String>,
    pub(crate) domain: Result<String, String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) explain: Option<String>,
    pub(crate) exclusive: Vec<Exclusive>,
    pub(crate) warnings: Vec<ConfigError>,
}

/// Whose instance it is.
#[derive(Clone, Debug)]
pub(crate) struct InstanceContext {
    /// The name of the component.
    pub(crate) component: String,
    /// The longest payload that may become an event.
    pub(crate) event_size: usize,
}

/// Where instances run.
pub(crate) trait InstanceFactory: Send + Sync + 'static {
    /// Makes an instance. Does no input or output of the plugin's.
    ///
    /// # Errors
    /// What the plugin says against its options, or how it broke.
    fn create(&self, options: &Value, who: &InstanceContext) -> Result<(Link, Capabilities), ConfigError>;

    /// Whether that is a matter of microseconds; else it is done where somebody may wait.
    fn is_quick(&self) -> bool {
        true
    }
}

/// An instance, by its kind.
pub(crate) enum Link {
    Source(Box<dyn SourceLink>),
    Filter(Box<dyn FilterLink>),
    Sink(Box<dyn SinkLink>),
}

/// A source that may break.
pub(crate) trait SourceLink: Send {
    /// Opens it where it resumes, and tells it whether the sink acknowledges for it ([`Cx::by_receipt`]).
    fn open<'a>(
        &'a mut self,
        cx: &'a Cx,
        resume: &'a BTreeMap<String, Position>,
    ) -> Promise<'a, Result<(), Fault>>;
    fn next<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<Option<SourceBatch>, Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
    /// The half of it that tells its input what is safe. Works beside the rest.
    fn committing(&self) -> std::sync::Arc<dyn CommitLink>;
}

/// The half of a source that tells its input what is safe.
pub(crate) trait CommitLink: Send + Sync {
    fn commit<'a>(&'a self, partition: &'a str, position: &'a Position) -> Promise<'a, Result<(), Fault>>;
}

/// A filter that may break.
pub(crate) trait FilterLink: Send {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
    /// What it makes of a batch. `resumable` says whether it may leave events for the next call.
    fn process<'a>(
        &'a mut self,
        batch: &'a Batch,
        resumable: bool,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Output, Fault>>;
    /// What it remembers, if there is anything to hand over.
    fn save<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<Option<Vec<u8>>, Fault>>;
    /// Goes on with what another one remembered.
    fn restore<'a>(&'a mut self, state: &'a [u8], cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
    /// The same as a plain function, if it can be called like one.
    fn plain(&mut self) -> Option<&mut dyn PlainLink> {
        None
    }
}

/// A filter that never waits, called where it is.
pub(crate) trait PlainLink: Send {
    fn process(&mut self, batch: &Batch) -> Result<Output, Fault>;
    fn save(&mut self) -> Result<Option<Vec<u8>>, Fault>;
    fn restore(&mut self, state: &[u8]) -> Result<(), Fault>;
}

/// A sink that may break.
pub(crate) trait SinkLink: Send {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
    fn write<'a>(&'a mut self, batch: &'a Batch, cx: &'a Cx) -> Promise<'a, Result<Delivery, Fault>>;
    fn claim<'a>(
        &'a mut self,
        claim: &'a Claim,
        cx: &'a Cx,
    ) -> Promise<'a, Result<BTreeMap<Lane, Record>, Fault>>;
    fn commit<'a>(
        &'a mut self,
        batch: &'a Batch,
        lane: &'a Lane,
        record: &'a Record,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Fault>>;
    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        receipts: &'a Receipts,
        cx: &'a Cx,
    ) -> Promise<'a, Result<Delivery, Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>>;
}
