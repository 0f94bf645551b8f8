//! HTTP, both ways: a source that polls, a filter that asks, a sink that sends.
//!
//! Never lets data choose a host, never reads an answer without a limit on its size and on its time.
//!
//! Read `client::Caller` first: one exchange with its limits. Then `client::poll`, `client::ask` and
//! `client::send`: what the three plugins make of it.

pub(crate) mod client;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    client::plugins()
}
