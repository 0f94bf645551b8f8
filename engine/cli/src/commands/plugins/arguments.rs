//! Arguments of `tidegate plugins`.

use clap::{Args, Subcommand};

use super::bench::arguments as bench;
use super::check::arguments as check;
use crate::options::{KindName, Libraries};

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate plugins
  tidegate plugins show http_poll
  tidegate plugins show file --kind sink
  tidegate plugins show pipeline
  tidegate plugins check ./libgeo.so
  tidegate plugins bench ./libgeo.so";

/// Arguments of `tidegate plugins`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PluginsArguments {
    #[command(subcommand)]
    pub(crate) action: Option<PluginsAction>,

    #[command(flatten)]
    pub(crate) libraries: Libraries,
}

/// Actions on plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginsAction {
    /// Print the manual of a plugin, or of `[pipeline]` and the keys of the engine
    Show {
        /// Name of the plugin, or `pipeline`
        name: String,
        /// Only the plugin of this kind, where several share the name
        #[arg(long)]
        kind: Option<KindName>,
        #[command(flatten)]
        libraries: Libraries,
    },
    /// Test a shared library against the contract of plugins
    #[command(after_help = check::AFTER_HELP)]
    Check(check::PluginCheck),
    /// Measure the calls of a shared library's plugins
    #[command(after_help = bench::AFTER_HELP)]
    Bench(bench::PluginBench),
}
