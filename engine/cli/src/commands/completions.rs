//! `tidegate completions`: the completion script of a shell.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;
use crate::exit::{Exit, Failure};
use crate::terminal;

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > \"${fpath[1]}/_tidegate\"
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish";

/// Prints the completion script of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut io::Cursor::new(&mut script));
    terminal::out(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
