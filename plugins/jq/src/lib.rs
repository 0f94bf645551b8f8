//! The jq language in a pipeline: the filter `jq`, the filter `route` and the source `generate`.
//!
//! Never reads a file, the environment or the network on behalf of a query, and never lets a query of one
//! event take another event, or the process, down with it.
//!
//! Read `query::Query` first: a compiled query and how it is evaluated within its limits; `fast::Program` is how
//! most events are answered without that. Then `jq.rs`, the filter that does little else.

#![warn(clippy::match_bool)]

mod fast;
mod generate;
mod jq;
mod limit;
mod meta;
mod query;
mod reader;
mod room;
mod route;
mod writer;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![generate::plugin(), jq::plugin(), route::plugin()]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests;
