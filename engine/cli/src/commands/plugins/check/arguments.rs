//! Arguments of `tidegate plugins check`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

pub(crate) const AFTER_HELP: &str = "\
The library is loaded in a process of its own. Filters are tested with the options
of their sample. Sources and sinks need files and servers, so they are tested with
the options of a pipeline file.

Examples:
  tidegate plugins check ./libgeo.so
  tidegate plugins check ./libgeo.so --pipeline try.toml

Exit codes:
  0    every tested rule holds
  1    a rule is broken
  2    the file is no library that can be loaded";

/// Arguments of `tidegate plugins check`.
#[derive(Args, Debug)]
pub(crate) struct PluginCheck {
    /// The library
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// A working pipeline file that uses it: its sources and sinks are tested with these options
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,
}
