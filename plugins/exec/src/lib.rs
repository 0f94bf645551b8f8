//! Commands as sources and filters: programs that write lines, or answer lines with lines.
//!
//! A command runs without a shell unless its words name one, sees only a few variables of the engine's
//! environment, and runs in a process group that is killed with its component.
//!
//! Start reading at `process::Process`, one running command.

#![warn(clippy::match_bool)]

mod exit;
mod filter;
mod process;
mod source;
mod standard_error;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![source::plugin(), filter::plugin()]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
