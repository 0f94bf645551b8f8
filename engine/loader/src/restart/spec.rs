//! The specification from which a component creates its instances.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Cx, Error};

use crate::link::{Capabilities, InstanceContext, InstanceFactory, Link};

/// What it takes to make an instance.
#[derive(Clone)]
pub(crate) struct InstanceSpec {
    pub(crate) home: Arc<dyn InstanceFactory>,
    pub(crate) options: Value,
    pub(crate) facts: Capabilities,
    /// The plugin's name, until the component's is known.
    pub(crate) plugin: String,
    /// An instance that breaks is not made anew: the component fails for good.
    pub(crate) strict: bool,
}

impl InstanceSpec {
    pub(super) async fn make(&self, cx: &Cx) -> Result<Link, Error> {
        let who = InstanceContext { component: cx.component().to_owned(), event_size: cx.event_size() };
        let made = match self.home.is_quick() {
            true => self.home.create(&self.options, &who),
            false => {
                let recipe = self.clone();
                let making = cx.spawn_blocking(move || recipe.home.create(&recipe.options, &who));
                making.await.map_err(|_| Error::retry("no instance can be made at the moment"))?
            }
        };
        // It was made before, so what keeps it from being made again is not in the options.
        made.map(|(link, _)| link).map_err(|error| Error::retry(format!("no instance can be made: {error}")))
    }
}
