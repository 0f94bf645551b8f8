//! Arguments of `tidegate new`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::options::KindName;

const AFTER_NEW_PLUGIN: &str = "\
Examples:
  tidegate new plugin geo --kind filter
  tidegate new plugin serial-port --kind source --lang c";

#[derive(Args, Debug)]
pub(crate) struct NewArguments {
    #[command(subcommand)]
    pub(crate) what: New,
}

#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// Write NAME.toml: a small pipeline with comments that runs without any server
    Pipeline {
        /// The pipeline's name: letters, digits, dots, dashes and underscores
        name: String,
        /// The folder to write it to
        #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Write a project for a plugin of your own, that builds and whose test passes at once
    #[command(after_help = AFTER_NEW_PLUGIN)]
    Plugin(NewPlugin),
}

/// A project for a plugin.
#[derive(Args, Debug)]
pub(crate) struct NewPlugin {
    /// The name of the project and of the plugin: lower case letters, digits, dashes and underscores
    pub(crate) name: String,
    /// What the plugin is
    #[arg(long)]
    pub(crate) kind: KindName,
    /// What it is written in
    #[arg(long, default_value = "rust")]
    pub(crate) lang: Language,
    /// The folder to make the project's folder in
    #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// For Rust: the folder of the SDK (`engine/sdk` of a checkout), in place of the published one
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) sdk: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// With the crate tidegate-sdk
    Rust,
    /// With the header tidegate_plugin.h
    C,
}
