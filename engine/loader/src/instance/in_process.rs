//! Instances in this process, called inline or on a thread of their own.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError};

use crate::factory::{Capabilities, InstanceContext, InstanceFactory};
use crate::host_table::HostTable;
use crate::instance::filter::{LibraryFilter, LibraryPlainFilter};
use crate::instance::sink::LibrarySink;
use crate::instance::source::LibrarySource;
use crate::instance::{CallMode, Instance};
use crate::library::tables::{Ops, Tables};

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
    ) -> Result<(Component, Capabilities), ConfigError> {
        let instance = Instance::create(&self.tables, self.host, self.mode, options, context)?;
        let capabilities = instance.capabilities();
        if let (Ops::Sink(sink), Ok(_)) = (&self.tables.ops, &capabilities.transaction_domain)
            && sink.ack_and_write.is_none()
        {
            let why = "its library breaks the ABI: the sink names a transaction domain, and `ack_and_write` is NULL";
            return Err(ConfigError::at("", why));
        }
        let component = match &self.tables.ops {
            Ops::Source(_) => {
                let wants_batch_done = capabilities.wants_batch_done;
                Component::Source(Box::new(LibrarySource::new(
                    instance,
                    context.event_size,
                    wants_batch_done,
                )))
            }
            Ops::Filter(_) => {
                let is_plain = !capabilities.waits && instance.is_inline();
                let filter = LibraryFilter::new(instance, capabilities.outputs.len());
                if is_plain {
                    Component::Filter(Box::new(LibraryPlainFilter(filter)))
                } else {
                    Component::AsyncFilter(Box::new(filter))
                }
            }
            Ops::Sink(_) => Component::Sink(Box::new(LibrarySink::new(instance, capabilities.clone()))),
        };
        Ok((component, capabilities))
    }
}

impl InProcess {
    /// The shared factory.
    pub(crate) fn shared(self) -> Arc<dyn InstanceFactory> {
        Arc::new(self)
    }
}
