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
  tidegate plugins check ./libgeo.so
  tidegate plugins bench ./libgeo.so";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PluginsArguments {
    #[command(subcommand)]
    pub(crate) action: Option<PluginsAction>,

    #[command(flatten)]
    pub(crate) libraries: Libraries,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsAction {
    /// Show the manual of a plugin: a sample and every option
    Show {
        /// The plugin's name
        name: String,
        /// Only the plugin of this kind, where several share the name
        #[arg(long)]
        kind: Option<KindName>,
        #[command(flatten)]
        libraries: Libraries,
    },
    /// Check that a shared library keeps to what every plugin keeps to
    #[command(after_help = check::AFTER_HELP)]
    Check(check::PluginCheck),
    /// Measure what calls of a shared library's plugins cost, beside a built-in one that does nothing
    #[command(after_help = bench::AFTER_HELP)]
    Bench(bench::PluginBench),
}
