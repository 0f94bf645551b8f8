//! The options of the sink `file`: its manual.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{ConfigError, Duration, Size, Template};

/// Appends each event as one line to a file. Folders that are missing are made. An event that is no JSON and holds line
/// breaks of its own is written as it is.
///
/// An event counts as delivered when it is on the disk (see `sync`). A write that fails half way is taken
/// back, so a reader never sees half an event; a line that a crash left without its end is ended first.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// The file: a path, or a template that names a file for each event, such as
    /// `"out/{.country}/{.day}.jsonl"`. What comes from the data stays under the folder that is written out
    /// (here `out`): an event whose path would leave it is rejected.
    #[schemars(extend("examples" = ["out/events.jsonl"]))]
    pub path: Template,
    /// Whether a file that is there at the start is added to, `"append"` (the default), or emptied first,
    /// `"truncate"`. It is emptied when the first event comes after each start of the component, after a
    /// failure too, and only where `path` does not use the event. Not with effectively-once delivery.
    #[serde(default)]
    pub mode: Mode,
    /// Whether to wait until the events are on the disk before they count as delivered. Default `true`.
    /// With `false` they may be lost when the machine stops, but not when only this process does, and
    /// effectively-once delivery is not possible.
    #[serde(default = "default_sync")]
    pub sync: bool,
    /// When to seal the file and begin a new one; never by default. Example:
    /// `rotate = { size = "100MiB", every = "1h", keep = 10 }`.
    #[serde(default)]
    pub rotate: Option<RotateOptions>,
    /// Compresses what is written with `"gzip"` or `"zstd"`; not by default. Each batch becomes a member or
    /// frame of its own, so the file can be read after a crash too. The name is taken as it is: end it in
    /// `.gz` or `.zst`.
    #[serde(default)]
    pub compress: Option<Compression>,
    /// How many files may be open at once; the one that was not used for the longest time is closed.
    /// Default `64`.
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

/// What becomes of a file that is there at the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is added to.
    #[default]
    Append,
    /// It is emptied.
    Truncate,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip, a member for each batch.
    Gzip,
    /// zstd, a frame for each batch.
    Zstd,
}

/// When a file is sealed: made durable and renamed, from `events.jsonl` to
/// `events-20260131T235959Z-0001.jsonl` (the time in UTC, and a number to tell files of one second apart).
/// The next event begins a new file. Sealed files never change.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateOptions {
    /// Seals the file before it would grow beyond this size, such as `"100MiB"`. With `compress` the size
    /// on the disk counts, and the file may be larger by one batch. With effectively-once delivery a batch
    /// is never split, so one that is larger than this makes a larger file.
    pub size: Option<Size>,
    /// Seals the file when it is this old, such as `"1h"`, as soon as the next event comes.
    pub every: Option<Duration>,
    /// How many sealed files to keep; the oldest ones are deleted. All by default.
    #[schemars(range(min = 1))]
    pub keep: Option<usize>,
}

impl SinkOptions {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let literal = self.path.as_literal();
        if literal.is_some_and(|path| path.is_empty() || path.ends_with('/')) {
            return Err(ConfigError::at("/path", "the path does not name a file"));
        }
        if self.mode == Mode::Truncate && literal.is_none() {
            return Err(ConfigError::at(
                "/mode",
                "files whose names come from the data can only be added to",
            )
            .help("leave `mode` out, or write a path without braces"));
        }
        if !(1..=4096).contains(&self.max_open) {
            return Err(ConfigError::at("/max_open", "between 1 and 4096 files can be open"));
        }
        let Some(rotate) = &self.rotate else { return Ok(()) };
        if rotate.size.is_none() && rotate.every.is_none() {
            return Err(ConfigError::at("/rotate", "it does not say when to rotate")
                .help("add size = \"100MiB\" or every = \"1h\""));
        }
        if rotate.size.is_some_and(|size| size.bytes() == 0) {
            return Err(ConfigError::at("/rotate/size", "a file needs some size"));
        }
        if rotate.every.is_some_and(|every| every.is_zero()) {
            return Err(ConfigError::at("/rotate/every", "a file needs some time"));
        }
        match rotate.keep {
            Some(0) => Err(ConfigError::at("/rotate/keep", "keeping no sealed file would lose the events")),
            _ => Ok(()),
        }
    }
}
