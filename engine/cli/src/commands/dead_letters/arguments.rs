//! What can be asked for of dead letters on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use tidegate_runtime::dead_letters::DeadLetter;
use tidegate_sdk::Size;

use crate::exit::Failure;
use crate::options::{DataDir, LogFormat, ReportFormat, Verbosity, memory};

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate dead-letters list
  tidegate dead-letters list --pipeline active-users --reason malformed --limit 20
  tidegate dead-letters show 7 --pipeline active-users
  tidegate dead-letters replay --all active-users.toml
  tidegate dead-letters remove 7 8 9 --pipeline active-users";

const REPLAY_USAGE: &str = "tidegate dead-letters replay [OPTIONS] <ID... | --all> <PIPELINE.toml>";

const AFTER_REPLAY: &str = "\
Examples:
  tidegate dead-letters replay 7 8 9 active-users.toml
  tidegate dead-letters replay --component stream --reason WRONGTYPE active-users.toml

Each letter becomes an event again: the bytes, key, time and attributes that it
had, at the component that refused it. It is removed when it is delivered. If
that component rejects it again it stays, with the new reason and one more
attempt; if another one rejects what became of it, it stays as that one's letter.

The pipeline must not run meanwhile, and its sources do not: only what stands
behind the components that had refused. What a source refused while reading (a
line over the limit) was no event, and cannot be replayed.

Exit codes: as those of `tidegate run`; 2 also if a letter that was named is not
there or cannot be replayed. Letters that were rejected again are no failure.";

const AFTER_REMOVE: &str = "\
Examples:
  tidegate dead-letters remove 7 8 9 --pipeline active-users
  tidegate dead-letters remove --component parse --pipeline active-users
  tidegate dead-letters remove --all --pipeline active-users

The pipeline must not run meanwhile. What is removed is gone for good.";

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List dead letters, newest last
    List(List),
    /// Show one dead letter: where it came from, why it was rejected, and its payload
    Show {
        /// Its number, as `tidegate dead-letters list` shows it
        id: u64,
        /// The id of its pipeline; may be left out if only one pipeline has a dead letter of that number
        #[arg(long, value_name = "ID")]
        pipeline: Option<String>,
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Put dead letters back into their pipeline, where they were refused
    #[command(after_help = AFTER_REPLAY, override_usage = REPLAY_USAGE)]
    Replay(Replay),
    /// Remove dead letters for good
    #[command(after_help = AFTER_REMOVE, visible_alias = "drop")]
    Remove(Remove),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only those of the pipeline with this id
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    /// How to list them: a table for people, or JSON lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,

    /// Only the newest so many
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// Numbers of letters, as `tidegate dead-letters list` shows them; then the pipeline file, or a folder of them
    #[arg(required = true, value_name = "ID | PIPELINE.toml", num_args = 1.., value_hint = ValueHint::AnyPath)]
    targets: Vec<PathBuf>,

    /// All letters that can be replayed
    #[arg(long)]
    pub(crate) all: bool,

    /// The id of the pipeline, if there are several
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// How many bytes may be in flight
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: Size,

    /// How log lines are written to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

impl Replay {
    /// The numbers of letters that were given, and the path behind them.
    pub(crate) fn targets(&self) -> Result<(Vec<u64>, PathBuf), Failure> {
        let mut ids = Vec::new();
        let (path, numbers) = match self.targets.split_last() {
            Some((path, numbers)) => (path.clone(), numbers),
            None => (PathBuf::new(), [].as_slice()),
        };
        for number in numbers.iter().map(|number| number.to_string_lossy()) {
            ids.push(number.parse().map_err(|_| {
                Failure::wrong(format!(
                    "`{number}` is not the number of a dead letter; one pipeline is replayed at a time"
                ))
            })?);
        }
        if path.to_string_lossy().parse::<u64>().is_ok() && !path.exists() {
            return Err(Failure::wrong(
                "say which pipeline file to replay into, behind the numbers of the letters",
            ));
        }
        match (self.all, ids.is_empty()) {
            (true, false) => Err(Failure::wrong("give either the numbers of letters or --all")),
            (false, true) if !self.filters.any() => Err(Failure::wrong(
                "say which dead letters to replay: their numbers, --all, --component or --reason",
            )),
            _ => Ok((ids, path)),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Numbers of letters, as `tidegate dead-letters list` shows them
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,

    /// All letters of the pipeline
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    /// The id of the pipeline; may be left out if only one pipeline has dead letters
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

/// Which letters are meant.
#[derive(Args, Debug, Default)]
pub(crate) struct Filters {
    /// Only letters that this component rejected
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,

    /// Only letters whose reason holds this text, in small or capital letters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

impl Filters {
    /// Whether there is any.
    pub(crate) fn any(&self) -> bool {
        self.component.is_some() || self.reason.is_some()
    }

    /// Whether a letter is meant.
    pub(crate) fn matches(&self, letter: &DeadLetter) -> bool {
        let holds = |text: &String| letter.reason.to_lowercase().contains(&text.to_lowercase());
        self.component.as_ref().is_none_or(|name| *name == letter.component)
            && self.reason.as_ref().is_none_or(holds)
    }
}
