//! Commands of the program, and the text of `--help`.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dead_letters;
pub(crate) mod graph;
pub(crate) mod new;
pub(crate) mod plugins;
pub(crate) mod run;
pub(crate) mod schema;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::options::Libraries;
use crate::registry::Plugins;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
First steps:
  tidegate new pipeline hello         write hello.toml, with comments
  tidegate check hello.toml           find every problem in it
  tidegate run hello.toml             run it

`tidegate plugins` lists the sources, filters and sinks,
`tidegate plugins show NAME` prints the manual of a plugin,
`tidegate COMMAND --help` explains a command.

Exit codes:
  0    ended or drained without a loss
  1    a pipeline failed
  2    a pipeline file or an argument is wrong
  3    a drain ended before every event was delivered
  130  stopped at once by a second Ctrl-C

Environment:
  TIDEGATE_LOG   log levels, such as `debug` or `warn,tidegate_http=trace`
  NO_COLOR       no colours, if set
  TIDEGATE_PLUGIN_PATH
                 folders with shared libraries of plugins, separated by colons";

/// Runs data pipelines: sources, filters and sinks, wired by one TOML file
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pipelines until they end or are stopped
    #[command(after_help = run::arguments::AFTER_HELP)]
    Run(run::arguments::RunArguments),
    /// Find every problem in pipeline files, without running them
    #[command(after_help = check::arguments::AFTER_HELP)]
    Check(check::arguments::CheckArguments),
    /// List the plugins, or show a manual
    #[command(after_help = plugins::arguments::AFTER_HELP)]
    Plugins(plugins::arguments::PluginsArguments),
    /// Draw the graph of a pipeline
    #[command(after_help = graph::AFTER_HELP)]
    Graph(graph::GraphArguments),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(Libraries),
    /// Write a new pipeline file or plugin project
    New(new::arguments::NewArguments),
    /// List, show, replay and remove rejected events
    #[command(after_help = dead_letters::arguments::AFTER_HELP)]
    DeadLetters(dead_letters::arguments::Arguments),
    /// Describe or run a shared library, for the engine
    #[command(hide = true)]
    PluginHost(plugins::host::PluginHostArguments),
    /// Print the completion script of a shell
    #[command(after_help = completions::AFTER_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let known = Plugins::built_in();
        match self {
            Self::Run(arguments) => run::run(&arguments, &known),
            Self::Check(arguments) => check::check(&arguments, &known),
            Self::Plugins(arguments) => plugins::plugins(&arguments, &known),
            Self::Graph(arguments) => graph::graph(&arguments, &known),
            Self::Schema(libraries) => schema::schema(&libraries, &known),
            Self::New(arguments) => new::new(&arguments.what),
            Self::DeadLetters(arguments) => dead_letters::dead_letters(&arguments.action, &known),
            Self::PluginHost(arguments) => plugins::host::host(&arguments),
            Self::Completions { shell } => completions::completions(shell),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
