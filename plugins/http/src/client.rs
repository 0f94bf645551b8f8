//! The plugins that call other servers: source `http_poll`, filter `http`, sink `http`.
//!
//! `http_client`, `login`, `response` and `expression` are common to all three. `poll`, `enrich` and `send` are the
//! plugins.

mod enrich;
mod expression;
mod http_client;
mod link_header;
mod login;
mod options;
mod poll;
mod rate;
mod response;
mod retry_after;
mod send;
#[cfg(test)]
mod test_server;
mod url_template;

pub(crate) use http_client::HttpClient;
pub(crate) use poll::fuzzing;
use tidegate_sdk::Plugin;

/// Returns the plugins that call other servers.
pub(crate) fn plugins() -> Vec<Plugin> {
    vec![poll::plugin(), enrich::plugin(), send::plugin()]
}
