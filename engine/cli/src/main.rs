//! The `tidegate` command: the one place that knows every plugin, prints, reads the environment and exits.
//!
//! It never moves an event and never decides what a pipeline file means: the engine's crates below it do.
//! Read [`args::Command`] first, what can be asked for; then [`builtin`], the plugins; then [`run`].

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod args;
mod builtin;
mod changes;
mod check;
#[cfg(test)]
mod conformance;
mod connect;
mod console;
mod data_dir;
mod dead_letters;
mod display;
#[cfg(test)]
mod docs;
mod exit;
mod explain;
mod files;
mod health;
mod heartbeat;
mod hexdump;
mod libraries;
mod live;
mod log;
mod manual;
mod metrics;
mod plugin_bench;
mod plugin_check;
mod plugin_child;
mod promises;
mod quantity;
mod rates;
mod reload;
mod report;
mod run;
mod scaffold;
mod schema;
mod signals;
mod summary;
mod table;
mod terminal;
mod watch;
mod wrap;

use args::{Arguments, Command};
use exit::{Exit, Failure};
use libraries::Plugins;

fn main() -> ExitCode {
    signals::shield();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Help, the version, or what is wrong with the arguments. If nobody listens, nothing is lost.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Wrong.into() } else { Exit::Done.into() };
        }
    };
    // An error says that there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let code = match dispatch(arguments.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::problem(&failure.message);
            failure.exit.into()
        }
    };
    console::flush();
    code
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    let plugins = Plugins::built_in();
    match command {
        Command::Run(arguments) => run::run(&arguments, &plugins),
        Command::Check(arguments) => check::check(&arguments, &plugins),
        Command::Plugins(arguments) => manual::plugins(&arguments, &plugins),
        Command::Graph(arguments) => schema::graph(&arguments, &plugins),
        Command::Schema(libraries) => schema::schema(&libraries, &plugins),
        Command::New(arguments) => scaffold::new(&arguments.what),
        Command::DeadLetters(arguments) => dead_letters::dead_letters(&arguments.action, &plugins),
        Command::PluginHost(arguments) => libraries::host(&arguments),
        Command::Completions { shell } => args::completions(shell),
    }
}
