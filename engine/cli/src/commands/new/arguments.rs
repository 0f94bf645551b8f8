//! Arguments of `tidegate new`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::options::KindName;

const AFTER_NEW_PLUGIN: &str = "\
Examples:
  tidegate new plugin geo --kind filter
  tidegate new plugin serial-port --kind source --lang c";

/// Arguments of `tidegate new`.
#[derive(Args, Debug)]
pub(crate) struct NewArguments {
    #[command(subcommand)]
    pub(crate) what: New,
}

/// Kinds of files to write.
#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// Write NAME.toml: a small pipeline with comments, which needs no server
    Pipeline {
        /// Name of the pipeline: a-z, A-Z, 0-9, `.`, `-` and `_`
        name: String,
        /// Folder of the file
        #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Write a project for a plugin of your own. It builds, and its test passes
    #[command(after_help = AFTER_NEW_PLUGIN)]
    Plugin(NewPlugin),
}

/// A project for a plugin.
#[derive(Args, Debug)]
pub(crate) struct NewPlugin {
    /// Name of the project and of the plugin: a-z, 0-9, `-` and `_`
    pub(crate) name: String,
    /// Kind of the plugin
    #[arg(long)]
    pub(crate) kind: KindName,
    /// Programming language
    #[arg(long, default_value = "rust")]
    pub(crate) lang: Language,
    /// Parent of the project's folder
    #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// For Rust: folder of the SDK (`engine/sdk` of a checkout) instead of the published one
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) sdk: Option<PathBuf>,
}

/// Programming language of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// With the crate tidegate-sdk
    Rust,
    /// With the header tidegate_plugin.h
    C,
}
