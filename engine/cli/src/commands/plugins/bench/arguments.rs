//! Arguments of `tidegate plugins bench`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::{Deserialize, Serialize};

pub(crate) const AFTER_HELP: &str = "\
The library is loaded in a process of its own. Each plugin is called the way the
engine calls it: inline, on a thread, and in a process, each in turn. A built-in
plugin that does nothing is measured too, as the lower limit of a call.
Filters are measured with the options of their sample. Sources and sinks would
read and write where their samples say, so they need `--options` or `--pipeline`.

  ns/call     the time of one call with a batch of one event (of a source: the
              time of one batch, whatever it holds)
  ns/event    the time of a call with a batch of 1,000 events of about 200 bytes,
              for each of them
  events/s    its reciprocal
  wakes/call  wakes of the waiting task for each call
  out         events out for each event in; a filter that drops or rejects all of
              these events does less work than usual
  spread      half of the range of the five rounds, relative to their median, of
              the less steady of the two times

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
  2    the file is no library that can be loaded";

/// Arguments of `tidegate plugins bench`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PluginBench {
    /// The library
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Only the plugins of this name
    pub(crate) name: Option<String>,
    /// A working pipeline file that uses it: its plugins are measured with these options
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "options")]
    pub(crate) pipeline: Option<PathBuf>,
    /// The options to measure it with, an object in JSON; takes a NAME
    #[arg(long, value_name = "JSON", requires = "name", value_parser = object)]
    pub(crate) options: Option<serde_json::Value>,
    /// Least time to measure for each line of the table
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
}

fn object(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err("write an object, such as {\"text\": \"ERROR\"}".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number from 0.01 to 3600".into()),
    }
}
