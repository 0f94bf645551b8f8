//! The server half: requests that become events, and their answers.
//!
//! Read [`source`] first: how requests reach the engine. Then, in the order in which a request goes through
//! them: `listener`, `connection` (with `guard`, its clock), `request`, `body`, `decode`, `intake`, `answer`.

use tidegate_sdk::Plugin;

use crate::exchange::Exchange;
use crate::response;

mod answer;
mod body;
mod connection;
mod decode;
pub(crate) mod fuzzing;
mod gate;
mod guard;
mod intake;
mod listener;
mod options;
mod query;
mod request;
mod sockets;
mod source;
#[cfg(test)]
mod tests;

/// `http_server` and `http_response`, which meet in an exchange that only they know.
pub(crate) fn plugins() -> Vec<Plugin> {
    let exchange = Exchange::new();
    vec![source::plugin(exchange.clone()), response::plugin(exchange)]
}
