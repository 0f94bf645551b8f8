//! Commands as sources and filters: anything that writes lines, or answers lines with lines.
//!
//! Never runs a command through a shell of its own accord, never gives it Tidegate's environment, and never
//! leaves one behind: each runs in a process group that ends with its component.
//!
//! Read `process::Process` first: a command while it runs, and how it is ended.

mod ending;
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
tidegate_sdk::export_plugin!(plugins);
