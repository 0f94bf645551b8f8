//! Text to JSON: the filter `parse`.
//!
//! Never guesses: text that is not of its format is rejected, with the byte where it departs from
//! it. Never takes more than linear time for a line, and never fails as a whole because of one.
//!
//! Read `fields::Fields` first, where every format writes what it found, then `parse.rs`, the filter.

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

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![parse::plugin()]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests;
