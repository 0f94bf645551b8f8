//! The `tidegate` program. Only this crate knows every plugin, prints, reads the environment and exits.
//!
//! It neither processes events nor interprets pipeline files; the crates of the engine do.
//! Read [`commands::Command`] first, then [`registry::builtin`], then [`commands::run`].

#![warn(clippy::match_bool)]

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
    commands::run::signals::block_terminal_signals();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help, the version, or a wrong argument. A closed output is no failure.
            let _ = message.print();
            return if message.use_stderr() { Exit::Wrong.into() } else { Exit::Done.into() };
        }
    };
    // It fails only if there is a provider already.
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
