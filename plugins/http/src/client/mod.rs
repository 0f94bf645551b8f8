//! The half that calls other servers: source `http_poll`, filter `http`, sink `http`.
//!
//! An exchange is the same for all three and lives here; what is asked for and what is made of the answer
//! lives in `poll`, `ask` and `send`.

mod address;
mod answer;
mod ask;
mod caller;
mod json_text;
mod link;
mod login;
mod options;
mod poll;
mod retry_after;
mod send;
#[cfg(test)]
mod test_server;

pub(crate) use caller::Caller;
pub(crate) use poll::fuzzing;
use tidegate_sdk::Plugin;

/// The plugins of this half.
pub(crate) fn plugins() -> Vec<Plugin> {
    vec![poll::plugin(), ask::plugin(), send::plugin()]
}
