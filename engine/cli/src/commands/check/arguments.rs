//! Arguments of `tidegate check`.

use clap::Args;

use crate::options::{DataDir, ReportFormat, Sources};

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate check pipelines/
  tidegate check --connect active-users.toml
  tidegate check --explain active-users.toml        which jq queries are fast
  tidegate check --format json active-users.toml    for editors and CI

Exit codes:
  0    no errors (there may be warnings)
  1    a source or sink could not be opened (only with --connect)
  2    at least one error";

/// Arguments of `tidegate check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// Also open every source and sink, with a limit of 5 seconds each
    #[arg(long)]
    pub(crate) connect: bool,

    /// Also explain how filters run: if a jq query is on the fast path, and which part of it prevents that
    #[arg(long)]
    pub(crate) explain: bool,

    /// Format of the report: text on standard error, or one JSON document on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
}
