//! The `tidegate` command: the one place that knows every plugin, prints, reads the environment and exits.
//!
//! It never moves an event and never decides what a pipeline file means: the engine's crates below it do.
//! Read [`commands::Command`] first, then [`registry::builtin`], then [`commands::run`].

use std::process::ExitCode;

use clap::Parser;

mod commands;
mod exit;
mod files;
mod guarantees;
mod options;
mod registry;
mod terminal;
mod threads;

use commands::Arguments;
use exit::Exit;
use terminal::console;

fn main() -> ExitCode {
    commands::run::signals::shield();
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
    let code = match arguments.command.execute() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::problem(&failure.message);
            failure.exit.into()
        }
    };
    console::flush();
    code
}
