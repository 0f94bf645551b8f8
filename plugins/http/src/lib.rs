//! HTTP: source `http_poll`, filter `http` and sink `http` call servers; source `http_server` and sink `http_response`
//! are one.
//!
//! Invariants: data never chooses a host, every request and response has limits on its size and time, and no secret is
//! ever shown.
//!
//! Of the client, read `client::http_client` first, then its three plugins. Of the server, read `server` first, then
//! `pending`, which connects a request with the results of its pipeline.

#![warn(clippy::match_bool)]

mod budget;
mod client;
mod coding;
#[doc(hidden)]
pub mod fuzzing;
mod joined;
mod pending;
mod response_sink;
mod server;

use tidegate_sdk::Plugin;

/// Returns the plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    let mut plugins = client::plugins();
    plugins.extend(server::plugins());
    plugins
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
