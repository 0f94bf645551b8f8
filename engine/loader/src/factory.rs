//! Creates instances of plugins, in this process (`instance`) or in a child process (`process`).
//!
//! An instance implements the contract of its kind. When it breaks (it panics, crashes, hangs, or breaks the contract), its
//! call returns an error of [`Class::Broken`](tidegate_sdk::Class::Broken), whose message is the end of a sentence that
//! begins with the plugin. The module `restart` handles the breaks.

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Error, Exclusive, Replay};

/// The error of a library that broke the contract.
pub(crate) fn broke_contract(why: impl std::fmt::Display) -> Error {
    Error::broken(format!("broke the contract: {why}"))
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

impl Capabilities {
    /// Fails with the reason why a sink is not transactional.
    pub(crate) fn is_transactional(&self) -> Result<(), Error> {
        self.transactional.clone().map_err(Error::fatal)
    }

    /// Fails with the reason why a sink cannot acknowledge for a source.
    pub(crate) fn is_acknowledging(&self) -> Result<(), Error> {
        self.transaction_domain.clone().map(drop).map_err(Error::fatal)
    }
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
    fn create(
        &self,
        options: &Value,
        context: &InstanceContext,
    ) -> Result<(Component, Capabilities), ConfigError>;

    /// True if `create` takes microseconds. Otherwise it runs on a thread that may block.
    fn is_quick(&self) -> bool {
        true
    }
}
