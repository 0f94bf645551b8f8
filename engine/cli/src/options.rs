//! Options that several commands share.

mod data_dir;

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use tidegate_config::Override;
use tidegate_sdk::Size;

/// Paths of the pipeline files, and overrides of their keys.
#[derive(Args, Clone, Debug)]
pub(crate) struct Sources {
    /// Pipeline files, or folders with *.toml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,

    /// Override a key of a component or of the pipeline (`pipeline.KEY=VALUE`); may be repeated
    #[arg(long = "set", value_name = "NAME.KEY=VALUE", value_parser = Override::parse)]
    pub(crate) overrides: Vec<Override>,

    #[command(flatten)]
    pub(crate) libraries: Libraries,
}

/// Shared libraries in addition to those in the pipeline files.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Libraries {
    /// Shared library with plugins: a path with a `/`, or a name to find in TIDEGATE_PLUGIN_PATH; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plugin: Vec<PathBuf>,
}

/// Folder of the state.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// Folder of checkpoints and dead letters, with a subfolder per pipeline id
    ///
    /// The default is systemd's $STATE_DIRECTORY if that is set, else $XDG_STATE_HOME/tidegate, which is
    /// ~/.local/state/tidegate by default (on macOS: ~/Library/Application Support/tidegate).
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Amount of output.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Verbosity {
    /// Only warnings and errors: no progress, no summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log more: -v for debugging a pipeline, -vv for everything
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// JSON, an object per line
    Json,
}

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Kind of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindName {
    /// Reads events
    Source,
    /// Changes, selects and routes events
    Filter,
    /// Writes events
    Sink,
}

impl From<KindName> for tidegate_sdk::Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Source => Self::Source,
            KindName::Filter => Self::Filter,
            KindName::Sink => Self::Sink,
        }
    }
}

/// Parses a memory limit.
pub(crate) fn memory(text: &str) -> Result<Size, String> {
    const LEAST: Size = Size(1 << 20);
    let size: Size = text.parse()?;
    if size < LEAST {
        return Err(format!("less than {LEAST} cannot hold a batch"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_size_that_can_hold_a_batch() {
        assert_eq!(memory("64MiB").unwrap(), Size(64 << 20));
        assert!(memory("64").unwrap_err().contains("not a size"));
        assert!(memory("1KiB").unwrap_err().contains("cannot hold"));
    }
}
