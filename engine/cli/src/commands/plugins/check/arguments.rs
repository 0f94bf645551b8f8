//! Arguments of `tidegate plugins check`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

pub(crate) const AFTER_HELP: &str = "\
The library is loaded in a process of its own. Filters are tried with the options
of their sample; sources and sinks, which need files and servers, with those of a
pipeline that you give.

Examples:
  tidegate plugins check ./libgeo.so
  tidegate plugins check ./libgeo.so --pipeline try.toml

Exit codes:
  0    it keeps to every rule that was looked at
  1    a rule is broken
  2    it is not a library that can be loaded";

/// A library to be checked.
#[derive(Args, Debug)]
pub(crate) struct PluginCheck {
    /// The library
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// A pipeline file that uses it and works here: its sources and sinks are tried with the options in there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,
}
