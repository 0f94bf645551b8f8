//! Options that several commands share.

mod data_dir;

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use tidegate_config::Override;
use tidegate_sdk::Size;

/// Where pipelines are, and what is changed in them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Sources {
    /// Pipeline files, or folders of which every *.toml is taken
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,

    /// Override one key of a component, or of the pipeline (`pipeline.KEY=VALUE`); may be repeated
    #[arg(long = "set", value_name = "NAME.KEY=VALUE", value_parser = Override::parse)]
    pub(crate) overrides: Vec<Override>,

    #[command(flatten)]
    pub(crate) libraries: Libraries,
}

/// Shared libraries beside those that the pipeline files name.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Libraries {
    /// A shared library with plugins: a path with a `/` in it, or a name to look for in TIDEGATE_PLUGIN_PATH; may be
    /// repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plugin: Vec<PathBuf>,
}

/// Where state is kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// Folder of checkpoints and dead letters, with one folder in it per pipeline id
    ///
    /// The default is systemd's $STATE_DIRECTORY if that is set, else $XDG_STATE_HOME/tidegate, which is
    /// ~/.local/state/tidegate where it is not set (on macOS: ~/Library/Application Support/tidegate).
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How much is said.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Verbosity {
    /// Only warnings and errors: no progress, no summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log more: -v for debugging a pipeline, -vv for everything
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindName {
    /// Where events come from
    Source,
    /// What happens to them
    Filter,
    /// Where they go
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

pub(crate) fn memory(text: &str) -> Result<Size, String> {
    const LEAST: Size = Size(1 << 20);
    let size: Size = text.parse()?;
    match size < LEAST {
        true => Err(format!("less than {LEAST} cannot hold a batch; give it more")),
        false => Ok(size),
    }
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
