//! Metrics made from events: the sink `metric`.
//!
//! The sink maps each event to a value and the values of labels, and records them in a [`tidegate_sdk::Metric`], which
//! `/metrics` shows. It keeps no event and opens no connection.

#![warn(clippy::match_bool)]

mod options;
mod sink;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![sink::plugin()]
}
