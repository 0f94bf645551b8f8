//! The server: requests that become events, and their responses.
//!
//! Read [`source`] first, which passes requests to the engine. A request then passes through `listener`, `connection`
//! (with `timed_socket`), `handler`, `admission`, `body`, `decode`, `queue` and `response`.

use tidegate_sdk::Plugin;

use crate::pending::PendingRequests;
use crate::response_sink;

mod admission;
mod body;
mod connection;
mod decode;
mod form;
pub(crate) mod fuzzing;
mod handler;
mod listener;
mod options;
mod queue;
mod response;
mod sockets;
mod source;
#[cfg(test)]
mod tests;
mod timed_socket;

/// Returns `http_server` and `http_response`, which share a registry of pending requests.
pub(crate) fn plugins() -> Vec<Plugin> {
    let pending_requests = PendingRequests::new();
    vec![source::plugin(pending_requests.clone()), response_sink::plugin(pending_requests)]
}
