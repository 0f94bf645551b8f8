//! Options of the sink `file`. Their descriptions are its manual.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{ConfigError, ConfigErrors, Duration, Size, Template};

/// Appends each event as one line to a file. Missing folders are created. An event that is not JSON and has line breaks is
/// written as it is.
///
/// An event counts as delivered when it is on the disk (see `sync`). A write that fails is taken back to the last whole
/// event. A line that a crash left without its end is ended first.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// The file: a path, or a template that names a file for each event, such as `"out/{.country}/{.day}.jsonl"`. A rendered
    /// path stays under the folder before the first brace (here `out`): an event whose path would leave it is rejected.
    #[schemars(extend("examples" = ["out/events.jsonl", "out/{.tenant}.jsonl"]))]
    pub path: Template,
    /// The treatment of a file that exists at the start: `"append"` (the default) appends to it, `"truncate"` empties it first.
    /// It is emptied by the first event after each start of the component, after a failure too, and only if `path` does not
    /// use the event. Not with effectively-once delivery.
    #[serde(default)]
    pub mode: Mode,
    /// Waits until the events are on the disk before they count as delivered. Default `true`. With `false` they may be lost
    /// when the machine stops, but not when only this process does, and effectively-once delivery is not possible.
    #[serde(default = "default_sync")]
    pub sync: bool,
    /// The conditions under which the file is sealed and a new one begins; never by default. Example:
    /// `rotate = { size = "100MiB", every = "1h", keep = 10 }`.
    #[serde(default)]
    pub rotate: Option<RotateOptions>,
    /// Compresses the file with `"gzip"` or `"zstd"`; not by default. Each batch becomes a member or frame of its own, so the
    /// file can be read after a crash too. The name is not changed: let it end in `.gz` or `.zst`.
    #[serde(default)]
    pub compress: Option<Compression>,
    /// The most files that are open at the same time. The least recently used one is closed. Default `64`.
    #[serde(default = "default_max_open")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_open: usize,
}

fn default_sync() -> bool {
    true
}

fn default_max_open() -> usize {
    64
}

/// Treatment of a file that exists at the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Events are appended to it.
    #[default]
    Append,
    /// The first event empties it.
    Truncate,
}

/// Compression of files.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip, a member for each batch.
    Gzip,
    /// zstd, a frame for each batch.
    Zstd,
}

/// Conditions under which a file is sealed: made durable and renamed, from `events.jsonl` to
/// `events-20260131T235959Z-0001.jsonl` (the time in UTC, and a number for files of the same second). The next event begins a
/// new file. Sealed files never change.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateOptions {
    /// Seals the file before it would grow beyond this size, such as `"100MiB"`. With `compress` the size on the disk counts,
    /// and the file may be larger by one batch. With effectively-once delivery a batch is never split, so a larger batch
    /// makes a larger file.
    pub size: Option<Size>,
    /// Seals the file when it is this old, such as `"1h"`, at the next event.
    pub every: Option<Duration>,
    /// The number of sealed files that are kept; older ones are deleted. All by default.
    #[schemars(range(min = 1))]
    pub keep: Option<usize>,
}

impl SinkOptions {
    /// Checks the rules that a schema cannot express.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        let literal = self.path.as_literal();
        if literal.is_some_and(|path| path.is_empty() || path.ends_with('/')) {
            errors.push(ConfigError::at("/path", "the path does not name a file"));
        }
        if self.mode == Mode::Truncate && literal.is_none() {
            errors.push(
                ConfigError::at("/mode", "files whose names come from the data can only be added to")
                    .help("leave `mode` out, or write a path without braces"),
            );
        }
        if !(1..=4096).contains(&self.max_open) {
            errors.push(ConfigError::at("/max_open", "between 1 and 4096 files can be open"));
        }
        let Some(rotate) = &self.rotate else { return errors.finish(()) };
        if rotate.size.is_none() && rotate.every.is_none() {
            errors.push(
                ConfigError::at("/rotate", "it does not say when to rotate")
                    .help("add size = \"100MiB\" or every = \"1h\""),
            );
        }
        if rotate.size.is_some_and(|size| size.bytes() == 0) {
            errors.push(ConfigError::at("/rotate/size", "a file needs some size"));
        }
        if rotate.every.is_some_and(|every| every.is_zero()) {
            errors.push(ConfigError::at("/rotate/every", "a file needs some time"));
        }
        if rotate.keep == Some(0) {
            errors.push(ConfigError::at("/rotate/keep", "keeping no sealed file would lose the events"));
        }
        errors.finish(())
    }
}
