//! What can be asked for on the command line, and the text of `--help`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use tidegate_config::Override;
use tidegate_sdk::Size;

use crate::dead_letters::arguments;
use crate::exit::{Exit, Failure};
use crate::plugin_bench::arguments::{AFTER_PLUGINS_BENCH, PluginBench};
use crate::terminal;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Sixty seconds to the first event:
  tidegate new pipeline hello         write hello.toml, with comments
  tidegate check hello.toml           find every problem in it
  tidegate run hello.toml             run it

`tidegate plugins` lists what a pipeline can be made of,
`tidegate plugins show NAME` is the manual of one plugin,
`tidegate COMMAND --help` says more about a command.

Exit codes:
  0    ended or drained with nothing lost
  1    a pipeline failed
  2    a pipeline file or an argument is wrong
  3    the drain deadline passed before everything was delivered
  130  stopped at once by a second Ctrl-C

Environment:
  TIDEGATE_LOG   what to log, such as `debug` or `warn,tidegate_http=trace`
  NO_COLOR       no colours, if set
  TIDEGATE_PLUGIN_PATH
                 folders with shared libraries of plugins, with colons in between";

const AFTER_RUN: &str = "\
Examples:
  tidegate run active-users.toml
  tidegate run pipelines/ --admin 127.0.0.1:9090
  tidegate run import.toml --set file.path=/data/today.jsonl
  tidegate run draft.toml --watch

The first Ctrl-C (or SIGTERM) drains: sources stop reading, and what was read
is delivered. A second one stops at once. SIGHUP reads the pipeline files again:
what changed is replaced, the rest runs on untouched, and if anything is wrong
nothing changes. Standard output is the `stdout`
sink's alone; all else goes to standard error.

Exit codes:
  0    every pipeline ended or drained with nothing lost
  1    a pipeline failed
  2    a pipeline file or an argument is wrong; nothing was started
  3    the drain deadline passed before everything was delivered
  130  stopped at once by a second Ctrl-C";

const AFTER_CHECK: &str = "\
Examples:
  tidegate check pipelines/
  tidegate check --connect active-users.toml
  tidegate check --explain active-users.toml        which jq queries are fast
  tidegate check --format json active-users.toml    for editors and CI

Exit codes:
  0    no errors (there may be warnings)
  1    a source or sink could not be opened (only with --connect)
  2    at least one error";

const AFTER_PLUGINS: &str = "\
Examples:
  tidegate plugins
  tidegate plugins show http_poll
  tidegate plugins show file --kind sink
  tidegate plugins check ./libgeo.so
  tidegate plugins bench ./libgeo.so";

const AFTER_NEW_PLUGIN: &str = "\
Examples:
  tidegate new plugin geo --kind filter
  tidegate new plugin serial-port --kind source --lang c";

const AFTER_PLUGINS_CHECK: &str = "\
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

const AFTER_GRAPH: &str = "\
Examples:
  tidegate graph active-users.toml                to paste into Markdown
  tidegate graph active-users.toml --format dot | dot -Tsvg > graph.svg";

const AFTER_COMPLETIONS: &str = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > \"${fpath[1]}/_tidegate\"
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish";

/// Runs data pipelines: sources, filters and sinks, wired by one TOML file
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pipelines until they end or are stopped
    #[command(after_help = AFTER_RUN)]
    Run(RunArguments),
    /// Find every problem in pipeline files, without running them
    #[command(after_help = AFTER_CHECK)]
    Check(CheckArguments),
    /// List the plugins, or show the manual of one
    #[command(after_help = AFTER_PLUGINS)]
    Plugins(PluginsArguments),
    /// Draw the graph of a pipeline
    #[command(after_help = AFTER_GRAPH)]
    Graph(GraphArguments),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(Libraries),
    /// Write a new pipeline file to start from
    New(NewArguments),
    /// Look at events that could not be processed, replay them, remove them
    #[command(after_help = arguments::AFTER_HELP)]
    DeadLetters(arguments::Arguments),
    /// Look at a shared library, for the engine
    #[command(hide = true)]
    PluginHost(PluginHostArguments),
    /// Print the completion script of a shell
    #[command(after_help = AFTER_COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

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

#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// How many bytes may be in flight in all pipelines together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: Size,

    /// Forget every position, and every record that an effectively-once sink keeps: begin anew
    #[arg(long)]
    pub(crate) start_over: bool,

    /// Serve metrics, health and a dashboard on this loopback address; off by default
    ///
    /// `/metrics` is for Prometheus, `/healthz` and `/readyz` for supervisors, `/` for people. Port 0 takes a
    /// free port, which is logged.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) admin: Option<SocketAddr>,

    /// Serve the admin pages for this host too: what a proxy in front of it passes on in `Host`
    #[arg(long, value_name = "NAME", requires = "admin")]
    pub(crate) admin_host: Vec<String>,

    /// Reload when a pipeline file changes, as on SIGHUP; run until stopped, even if all has ended
    ///
    /// The files are looked at every second. A folder is looked at for files that come and go.
    #[arg(long)]
    pub(crate) watch: bool,

    /// How log lines are written to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
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

#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// Also open every source and sink, with a limit of 5 seconds each
    #[arg(long)]
    pub(crate) connect: bool,

    /// Also tell how filters will run: whether a jq query is fast, and which part of it stands in the way
    #[arg(long)]
    pub(crate) explain: bool,

    /// How to report: text for people on standard error, or one JSON document on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
}

/// What another process of this program does with a shared library.
#[derive(Args, Debug)]
pub(crate) struct PluginHostArguments {
    /// Load this library and print what is in it
    #[arg(long, value_name = "FILE")]
    pub(crate) describe: Option<PathBuf>,
    /// Load this library and try its plugins
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// With these uses of them
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Load a library and measure its plugins: the arguments of `plugins bench`
    #[arg(long, value_name = "JSON")]
    pub(crate) bench: Option<String>,
    /// Run one component of this library, for the engine that has started this process
    #[arg(long, value_name = "FILE", requires_all = ["sha256", "descriptors"])]
    pub(crate) serve: Option<PathBuf>,
    /// What its file must hash to
    #[arg(long)]
    pub(crate) sha256: Option<String>,
    /// The descriptors that the engine has left open for this process
    #[arg(long, value_name = "NUMBERS")]
    pub(crate) descriptors: Option<String>,
}

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
    #[command(after_help = AFTER_PLUGINS_CHECK)]
    Check(PluginCheck),
    /// Measure what calls of a shared library's plugins cost, beside a built-in one that does nothing
    #[command(after_help = AFTER_PLUGINS_BENCH)]
    Bench(PluginBench),
}

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

#[derive(Args, Debug)]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    /// The language to draw in
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub(crate) format: GraphFormat,
}

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
pub(crate) enum GraphFormat {
    /// Mermaid, which Markdown renders
    Mermaid,
    /// The language of Graphviz
    Dot,
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

/// The admin server has neither a password nor encryption, so only this machine may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        text.parse().map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:9090".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "{} can be reached from other machines, and the admin server has no password; bind 127.0.0.1:{} and put a proxy in front of it",
            address.ip(),
            address.port()
        )),
    }
}

/// Prints the completion script of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut io::Cursor::new(&mut script));
    terminal::out(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_admin_server_stays_on_this_machine() {
        assert_eq!(loopback("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(loopback("[::1]:80").unwrap().to_string(), "[::1]:80");
        let refused = loopback("0.0.0.0:9090").unwrap_err();
        assert!(refused.contains("bind 127.0.0.1:9090 and put a proxy"), "{refused}");
        assert!(loopback("9090").unwrap_err().contains("ADDRESS:PORT"));
    }

    #[test]
    fn memory_is_a_size_that_can_hold_a_batch() {
        assert_eq!(memory("64MiB").unwrap(), Size(64 << 20));
        assert!(memory("64").unwrap_err().contains("not a size"));
        assert!(memory("1KiB").unwrap_err().contains("cannot hold"));
    }
}
