//! HTTP, both ways: a source that polls, a filter that asks, a sink that sends; a source that listens, and a
//! sink that answers.
//!
//! Never lets data choose a host, never reads a request or an answer without a limit on its size and its time,
//! never shows a token.
//!
//! Read `client::Caller` first, one exchange with its limits, then what the three plugins of the client make of
//! it. Of the server, read `server` first, then `exchange`: how a request and what a pipeline made of it find
//! each other.

mod budget;
mod client;
mod coding;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod response;
mod server;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    let mut plugins = client::plugins();
    plugins.extend(server::plugins());
    plugins
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
