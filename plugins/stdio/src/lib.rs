//! Standard input and standard output: one source, one sink.
//!
//! The crate never blocks the engine's workers: a silent standard input and a full standard output each block a thread of
//! their own, which ends when the component is dropped. Standard input cannot be read again.
//!
//! Read [`StdinOptions`] and [`StdoutOptions`] first; [`plugins`] registers both with the engine.

#![warn(clippy::match_bool)]

mod colour;
mod stdin;
mod stdout;

pub use stdin::{Decode, StdinOptions};
pub use stdout::{Color, StdoutOptions};
use tidegate_sdk::Plugin;

/// Returns the plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source(
            "stdin",
            "reads events from standard input and ends with it",
            "[source.input]\nplugin = \"stdin\"\n",
            |options: StdinOptions| Ok(stdin::Stdin::new(&options)),
        ),
        Plugin::sink(
            "stdout",
            "writes each event as a line to standard output",
            "[sink.output]\nplugin = \"stdout\"\n",
            |options: StdoutOptions| Ok(stdout::Stdout::new(&options)),
        ),
    ]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
