//! The plugins that are built in: one line a crate, sorted.

use tidegate_sdk::{Plugin, Registry};

/// What a plugin crate exports.
type Plugins = fn() -> Vec<Plugin>;

/// The folder of each plugin crate under `plugins/`, and what it holds.
pub(crate) const CRATES: [(&str, Plugins); 9] = [
    ("exec", tidegate_exec::plugins),
    ("file", tidegate_file::plugins),
    ("flow", tidegate_flow::plugins),
    ("http", tidegate_http::plugins),
    ("jq", tidegate_jq::plugins),
    ("metric", tidegate_metric::plugins),
    ("redis", tidegate_redis::plugins),
    ("stdio", tidegate_stdio::plugins),
    ("text", tidegate_text::plugins),
];

/// Every built-in plugin.
pub(crate) fn registry() -> Registry {
    Registry::new(CRATES.iter().flat_map(|(_, plugins)| plugins()))
}
