//! The interface to an instance of a plugin that may break, in this process (`instance`) or in a child process (`process`).
//! The module `restart` handles the breaks.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_sdk::{
    Batch, BoxFuture, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Output, Position, Receipts,
    Record, Replay, SourceBatch,
};

/// The reason of a failed operation.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The plugin returned an error.
    Error(Error),
    /// The instance broke: it panicked, crashed, hung, or broke the contract. The text is the end of a sentence that begins
    /// with the plugin.
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

/// The capabilities of an instance, known before it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Capabilities {
    pub(crate) replay: Replay,
    pub(crate) wants_commit: bool,
    pub(crate) wants_batch_done: bool,
    pub(crate) waits: bool,
    pub(crate) parallel: bool,
    pub(crate) transactional: Result<(), String>,
    pub(crate) transaction_domain: Result<String, String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) explain: Option<String>,
    pub(crate) exclusive: Vec<Exclusive>,
    pub(crate) warnings: Vec<ConfigError>,
}

/// The component that an instance belongs to.
#[derive(Clone, Debug)]
pub(crate) struct InstanceContext {
    /// The name of the component.
    pub(crate) component: String,
    /// The longest payload that may become an event.
    pub(crate) event_size: usize,
}

/// Creates instances of one plugin.
pub(crate) trait InstanceFactory: Send + Sync + 'static {
    /// Creates an instance. The plugin does no input or output.
    ///
    /// # Errors
    /// The error of the plugin for its options, or how it broke.
    fn create(&self, options: &Value, context: &InstanceContext)
    -> Result<(Link, Capabilities), ConfigError>;

    /// True if `create` takes microseconds. Otherwise it runs on a thread that may block.
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
    /// Opens it at its positions, and passes on whether the sink acknowledges ([`Cx::by_receipt`]).
    fn open<'a>(
        &'a mut self,
        cx: &'a Cx,
        resume: &'a BTreeMap<String, Position>,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<SourceBatch>, Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
    /// The commit half, which may be used at the same time as the rest.
    fn committing(&self) -> std::sync::Arc<dyn CommitLink>;
}

/// The commit half of a source.
pub(crate) trait CommitLink: Send + Sync {
    fn commit<'a>(&'a self, partition: &'a str, position: &'a Position) -> BoxFuture<'a, Result<(), Fault>>;
}

/// A filter that may break.
pub(crate) trait FilterLink: Send {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
    /// Processes a batch. `resumable` says whether the filter may defer events to the next call.
    fn process<'a>(
        &'a mut self,
        batch: &'a Batch,
        resumable: bool,
        cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Output, Fault>>;
    /// The state, if the filter has one.
    fn save<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Vec<u8>>, Fault>>;
    /// Restores the state of another instance.
    fn restore<'a>(&'a mut self, state: &'a [u8], cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
    /// The filter as a plain function, if its calls return at once.
    fn plain(&mut self) -> Option<&mut dyn PlainLink> {
        None
    }
}

/// A filter whose calls return at once.
pub(crate) trait PlainLink: Send {
    fn process(&mut self, batch: &Batch) -> Result<Output, Fault>;
    fn save(&mut self) -> Result<Option<Vec<u8>>, Fault>;
    fn restore(&mut self, state: &[u8]) -> Result<(), Fault>;
}

/// A sink that may break.
pub(crate) trait SinkLink: Send {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
    fn write<'a>(&'a mut self, batch: &'a Batch, cx: &'a Cx) -> BoxFuture<'a, Result<Delivery, Fault>>;
    fn claim<'a>(
        &'a mut self,
        claim: &'a Claim,
        cx: &'a Cx,
    ) -> BoxFuture<'a, Result<BTreeMap<Lane, Record>, Fault>>;
    fn commit<'a>(
        &'a mut self,
        batch: &'a Batch,
        lane: &'a Lane,
        record: &'a Record,
        cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Delivery, Fault>>;
    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        receipts: &'a Receipts,
        cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Delivery, Fault>>;
    fn close<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>>;
}
