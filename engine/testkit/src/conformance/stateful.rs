//! The rules of stateful filters.

use serde_json::Value;
use tidegate_sdk::{Component, Plugin, Reading};

use super::{Rules, plugin as manual};

/// Checks the rules of a stateful filter with these options.
///
/// # Panics
/// At the first broken rule, with its name.
pub fn stateful_filter(plugin: &Plugin, options: &Value, samples: &[&[u8]]) {
    manual(plugin);
    let rules = Rules::of(plugin);
    let Ok(Component::StatefulFilter(mut filter)) = plugin.build(options) else {
        panic!("{} `{}` is not a stateful filter", rules.kind, rules.name)
    };
    let batch = crate::batch(samples);
    let mut readings = vec![Reading::Untimed; batch.len()];
    rules.no_panic("reading", || filter.read(0, &batch, &mut readings));
    rules.keeps("there is a reading for each event", readings.len() == samples.len(), readings.len());
}
