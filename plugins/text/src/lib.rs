//! Text to JSON: the filter `parse`.
//!
//! A line that is not of its format is rejected alone, with the byte of the difference. Parsing takes linear time.
//!
//! Read `fields::Fields` first, to which every format writes its fields, then `parse.rs`, the filter.

#![warn(clippy::match_bool)]

mod combined;
mod csv;
mod fields;
mod logfmt;
mod merge;
mod parse;
mod pattern;
mod scan;
mod syslog;
mod time;
mod typed;

use tidegate_sdk::Plugin;

/// Returns the plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![parse::plugin()]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests;
