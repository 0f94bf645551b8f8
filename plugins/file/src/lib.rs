//! Files: a source that reads them once or follows them, and a sink that appends to them and rotates them.
//!
//! The crate never reads or writes on the engine's workers, and never holds a whole file in memory. A write that fails is
//! taken back to the last whole event.
//!
//! Read [`SourceOptions`] and [`SinkOptions`] first; [`plugins`] registers both with the engine.

#![warn(clippy::match_bool)]

mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod sink;
mod source;

pub use sink::{Compression, Mode, RotateOptions, SinkOptions};
pub use source::{CsvOptions, Decode, Header, Paths, SourceOptions, StartAt};
use tidegate_sdk::Plugin;

/// Returns the plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source(
            "file",
            "reads files once, or follows them as they grow and rotate",
            "[source.log]\nplugin = \"file\"\npath = \"/var/log/app/*.log\"\nfollow = true\n",
            source::FileSource::new,
        ),
        Plugin::sink(
            "file",
            "appends each event as a line to a file, with rotation and compression",
            "[sink.archive]\nplugin = \"file\"\npath = \"archive/{.day}.jsonl\"\nrotate = { size = \"100MiB\", keep = 10 }\n",
            sink::FileSink::new,
        ),
    ]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
