//! Built-in plugins: a line for each crate, sorted.

use tidegate_sdk::{Kind, Plugin, Registry};

/// Constructor that a plugin crate exports.
pub(crate) type Plugins = fn() -> Vec<Plugin>;

/// A crate of plugins.
pub(crate) struct Crate {
    /// Folder under `plugins/`.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test rewrites the manual in this folder"))]
    pub(crate) folder: &'static str,
    /// Plugins of the crate.
    pub(crate) plugins: Plugins,
    /// `README.md` of the crate, with a section for each plugin.
    pub(crate) manual: &'static str,
}

macro_rules! crates {
    ($($folder:literal $plugins:path,)*) => {
        [$(Crate {
            folder: $folder,
            plugins: $plugins,
            manual: include_str!(concat!("../../../../plugins/", $folder, "/README.md")),
        },)*]
    };
}

/// Every crate under `plugins/`.
pub(crate) const CRATES: &[Crate] = &crates! {
    "exec" tidegate_exec::plugins,
    "file" tidegate_file::plugins,
    "flow" tidegate_flow::plugins,
    "http" tidegate_http::plugins,
    "jq" tidegate_jq::plugins,
    "metric" tidegate_metric::plugins,
    "redis" tidegate_redis::plugins,
    "stdio" tidegate_stdio::plugins,
    "text" tidegate_text::plugins,
};

/// Returns every built-in plugin.
pub(crate) fn registry() -> Registry {
    Registry::new(CRATES.iter().flat_map(|one| (one.plugins)()))
}

/// Returns the crate of a built-in plugin.
pub(crate) fn crate_of(kind: Kind, name: &str) -> Option<&'static Crate> {
    let has =
        |one: &&Crate| (one.plugins)().iter().any(|plugin| plugin.kind() == kind && plugin.name() == name);
    CRATES.iter().find(has)
}
