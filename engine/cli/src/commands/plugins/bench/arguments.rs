//! What can be asked of `tidegate plugins bench`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::{Deserialize, Serialize};

pub(crate) const AFTER_HELP: &str = "\
The library is loaded in a process of its own. Each plugin is called the way the
engine calls it: inline, on a thread, and in a process, each in turn, and beside
them a built-in plugin that does nothing, which is what a call costs at least.
Filters are measured with the options of their sample. Sources and sinks would
read and write where their samples say, so they need `--options` or `--pipeline`.

  ns/call     the time of one call with a batch of one event (of a source: the
              time of one batch, whatever it holds)
  ns/event    the time of a call with a batch of 1,000 events of about 200 bytes,
              for each of them
  events/s    the same the other way round
  wakes/call  how often whoever waits for a call had to be woken for it
  out         events that came out for each that went in; a filter that drops or
              rejects all of these events has done less than it would
  spread      how far apart the five rounds were of which each number is the
              median: half of the range, of the number that was less steady

Allocations are not counted: a library brings its own allocator, and a count of
the engine's would say nothing of it. `valgrind --tool=dhat` and `heaptrack` see
both.

Examples:
  tidegate plugins bench ./libgeo.so
  tidegate plugins bench ./libgeo.so geo --options '{\"database\": \"small.db\"}'
  tidegate plugins bench ./libserial.so --pipeline try.toml --seconds 5

Exit codes:
  0    something was measured
  1    nothing could be measured, or the library broke
  2    it is not a library that can be loaded";

/// A library to be measured.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PluginBench {
    /// The library
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Only the plugins of this name
    pub(crate) name: Option<String>,
    /// A pipeline file that uses it and works here: its plugins are measured with the options in there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "options")]
    pub(crate) pipeline: Option<PathBuf>,
    /// The options to measure it with, an object in JSON; takes a NAME
    #[arg(long, value_name = "JSON", requires = "name", value_parser = object)]
    pub(crate) options: Option<serde_json::Value>,
    /// How long to measure for each line of the table, at least
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
}

fn object(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err("it has to be an object, such as {\"text\": \"ERROR\"}".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it has to be a number from 0.01 to 3600".into()),
    }
}
