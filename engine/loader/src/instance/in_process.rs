//! Instances in this process: called where the engine is, or on a thread of their own.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::ConfigError;

use crate::host_table::HostTable;
use crate::instance::filter::Filter;
use crate::instance::sink::Sink;
use crate::instance::source::Source;
use crate::instance::{CallMode, Instance};
use crate::library::tables::{Ops, Tables};
use crate::link::{Capabilities, InstanceContext, InstanceFactory, Link};

/// A plugin that is loaded here.
pub(crate) struct InProcess {
    pub(crate) tables: Tables,
    pub(crate) hub: &'static HostTable,
    pub(crate) manner: CallMode,
}

impl InstanceFactory for InProcess {
    fn create(&self, options: &Value, who: &InstanceContext) -> Result<(Link, Capabilities), ConfigError> {
        let instance = Instance::create(&self.tables, self.hub, self.manner, options, who)?;
        let facts = instance.facts();
        if let (Ops::Sink(sink), Ok(_)) = (&self.tables.ops, &facts.domain)
            && sink.ack_and_write.is_none()
        {
            let why = "its library breaks the ABI: the sink names a transaction domain, and `ack_and_write` is NULL";
            return Err(ConfigError::at("", why));
        }
        let link = match &self.tables.ops {
            Ops::Source(_) => Link::Source(Box::new(Source::new(instance, who.event_size, facts.settles))),
            Ops::Filter(_) => Link::Filter(Box::new(Filter::new(instance, facts.outputs.len(), facts.waits))),
            Ops::Sink(_) => Link::Sink(Box::new(Sink::new(instance))),
        };
        Ok((link, facts))
    }
}

impl InProcess {
    /// As a home.
    pub(crate) fn shared(self) -> Arc<dyn InstanceFactory> {
        Arc::new(self)
    }
}
