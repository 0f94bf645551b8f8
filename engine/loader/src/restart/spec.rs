//! The specification from which a component creates its instances.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Component, Cx, Error};

use crate::factory::{Capabilities, InstanceContext, InstanceFactory};

/// The specification of an instance.
#[derive(Clone)]
pub(crate) struct InstanceSpec {
    pub(crate) factory: Arc<dyn InstanceFactory>,
    pub(crate) options: Value,
    pub(crate) capabilities: Capabilities,
    /// The name of the plugin, used until the name of the component is known.
    pub(crate) plugin: String,
    /// True if the component fails for good when an instance breaks, instead of restarting it.
    pub(crate) strict: bool,
}

impl InstanceSpec {
    /// Creates an instance.
    pub(super) async fn create(&self, cx: &Cx) -> Result<Component, Error> {
        let context = InstanceContext { component: cx.component().to_owned(), event_size: cx.event_size() };
        let made = if self.factory.is_quick() {
            self.factory.create(&self.options, &context)
        } else {
            let spec = self.clone();
            let making = cx.spawn_blocking(move || spec.factory.create(&spec.options, &context));
            making.await.map_err(|_| Error::retry("no instance can be created at the moment"))?
        };
        // An instance with these options was created before, so the options are not the reason.
        made.map(|(component, _)| component)
            .map_err(|error| Error::retry(format!("no instance can be created: {error}")))
    }
}
