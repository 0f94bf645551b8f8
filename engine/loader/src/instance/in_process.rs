//! Instances in this process, called inline or on a thread of their own.

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

/// A plugin of a library that is loaded into this process.
pub(crate) struct InProcess {
    pub(crate) tables: Tables,
    pub(crate) host: &'static HostTable,
    pub(crate) mode: CallMode,
}

impl InstanceFactory for InProcess {
    fn create(
        &self,
        options: &Value,
        context: &InstanceContext,
    ) -> Result<(Link, Capabilities), ConfigError> {
        let instance = Instance::create(&self.tables, self.host, self.mode, options, context)?;
        let capabilities = instance.capabilities();
        if let (Ops::Sink(sink), Ok(_)) = (&self.tables.ops, &capabilities.transaction_domain)
            && sink.ack_and_write.is_none()
        {
            let why = "its library breaks the ABI: the sink names a transaction domain, and `ack_and_write` is NULL";
            return Err(ConfigError::at("", why));
        }
        let link = match &self.tables.ops {
            Ops::Source(_) => Link::Source(Box::new(Source::new(
                instance,
                context.event_size,
                capabilities.wants_batch_done,
            ))),
            Ops::Filter(_) => {
                Link::Filter(Box::new(Filter::new(instance, capabilities.outputs.len(), capabilities.waits)))
            }
            Ops::Sink(_) => Link::Sink(Box::new(Sink::new(instance))),
        };
        Ok((link, capabilities))
    }
}

impl InProcess {
    /// The shared factory.
    pub(crate) fn shared(self) -> Arc<dyn InstanceFactory> {
        Arc::new(self)
    }
}
