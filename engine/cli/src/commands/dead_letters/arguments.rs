//! Arguments of `tidegate dead-letters`.

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

Each dead letter becomes an event again, with its bytes, key, time and attributes,
at the component that rejected it. It is removed when its event is delivered. If
the component rejects it again, it stays, with the new reason and one more
attempt. If another component rejects an event made from it, it stays as a dead
letter of that component.

The pipeline must be stopped. Its sources do not run, only the components that
rejected events and everything downstream of them. A line over the limit was
rejected by a source before it became an event, so it cannot be replayed.

Exit codes: those of `tidegate run`. It is also 2 if a number does not exist or
cannot be replayed, and if nothing was replayed although a filter was given or
dead letters exist. With --all and no dead letters it is 0. Dead letters that
are rejected again are no failure.";

const AFTER_REMOVE: &str = "\
Examples:
  tidegate dead-letters remove 7 8 9 --pipeline active-users
  tidegate dead-letters remove --component parse --pipeline active-users
  tidegate dead-letters remove --all --pipeline active-users

The pipeline must be stopped. If a number does not exist, the others are removed
and the exit code is 2.";

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// Actions on dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List dead letters, newest last
    List(List),
    /// Show a dead letter: its origin, the reason of its rejection, its payload
    Show {
        /// Number of the dead letter, from `tidegate dead-letters list`
        id: u64,
        /// Id of its pipeline; needed if several pipelines have a dead letter of this number
        #[arg(long, value_name = "ID")]
        pipeline: Option<String>,
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Send dead letters through their pipeline again, from the component that rejected them
    #[command(after_help = AFTER_REPLAY, override_usage = REPLAY_USAGE)]
    Replay(Replay),
    /// Remove dead letters permanently
    #[command(after_help = AFTER_REMOVE, visible_alias = "drop")]
    Remove(Remove),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only dead letters of the pipeline with this id
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    /// Format of the list: a table, or JSON lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,

    /// Number of dead letters to list, the newest ones
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// Numbers from `tidegate dead-letters list`, then the pipeline file or a folder of them
    #[arg(required = true, value_name = "ID | PIPELINE.toml", num_args = 1.., value_hint = ValueHint::AnyPath)]
    targets: Vec<PathBuf>,

    /// Every dead letter that can be replayed
    #[arg(long)]
    pub(crate) all: bool,

    /// Id of the pipeline, if the path holds several
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// Limit of bytes in flight
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: Size,

    /// Format of log lines on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

impl Replay {
    /// Returns the numbers, and the path that follows them.
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
            return Err(Failure::wrong("give the pipeline file after the numbers of the dead letters"));
        }
        if self.all && !ids.is_empty() {
            return Err(Failure::wrong("give either the numbers of dead letters or --all"));
        }
        if !self.all && ids.is_empty() && !self.filters.any() {
            return Err(Failure::wrong(
                "choose the dead letters to replay: their numbers, --all, --component or --reason",
            ));
        }
        Ok((ids, path))
    }
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Numbers from `tidegate dead-letters list`
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,

    /// Every dead letter of the pipeline
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    /// Id of the pipeline; needed if several pipelines have dead letters
    #[arg(long, value_name = "ID")]
    pub(crate) pipeline: Option<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

/// Filters of dead letters.
#[derive(Args, Debug, Default)]
pub(crate) struct Filters {
    /// Only dead letters that this component rejected
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,

    /// Only dead letters whose reason contains this text, in any case
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

impl Filters {
    /// Returns true if there is a filter.
    pub(crate) fn any(&self) -> bool {
        self.component.is_some() || self.reason.is_some()
    }

    /// Returns true if a dead letter passes every filter.
    pub(crate) fn matches(&self, one: &DeadLetter) -> bool {
        let holds = |text: &String| one.reason.to_lowercase().contains(&text.to_lowercase());
        self.component.as_ref().is_none_or(|name| *name == one.component)
            && self.reason.as_ref().is_none_or(holds)
    }
}
