//! Options of the source `file`. Their descriptions are its manual.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{ConfigError, ConfigErrors, Duration};

/// Reads files: each line, each element of a JSON array, or each record of a CSV file is one event.
///
/// Files that are compressed with gzip or zstd are decompressed, whatever their names are. Each event has the attribute
/// `file`, the path of its file. The position in each file is kept, so the next run continues after an interruption. A
/// file that was replaced in the meantime is recognised and read from its start.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// The files to read: a path, a glob such as `"/var/log/*.log"`, or a list of paths and globs. `*` and `?` match within a
    /// name, `**` matches folders, `[a-z]` one character. Names that begin with a dot are matched only by a dot. Files are
    /// read in the order of their paths.
    pub path: Paths,
    /// Continues at the ends of the files: appended data is read as it comes, new files that match are found, and rotated
    /// files (by rename, or by copy and truncate) are read to their ends. Default `false`: each file is read once, then the
    /// source ends.
    #[serde(default)]
    pub follow: bool,
    /// With `follow`, the interval at which new data and new files are looked for. Default `"250ms"`.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: Duration,
    /// With `follow`, the start in a file that exists at the start of the run and that no earlier run has read:
    /// `"beginning"` (the default) or `"end"`. A file that appears later is always read from its beginning.
    #[serde(default)]
    pub start_at: StartAt,
    /// The division of the bytes into events. `"lines"` (the default): each line is one event, without its line end (`\n` or
    /// `\r\n`); empty lines are skipped. `"json_array"`: each file is one JSON array and each element is one event; the array
    /// is streamed, never held whole. `"csv"`: each record becomes a JSON object, see `csv`.
    #[serde(default)]
    pub decode: Decode,
    /// With `decode = "csv"`, the format of the records. Example: `csv = { delimiter = ";", types = true }`.
    #[serde(default)]
    pub csv: Option<CsvOptions>,
}

fn default_poll_interval() -> Duration {
    Duration::millis(250)
}

/// Path or glob, or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path, or a list of paths")]
pub enum Paths {
    /// A single one.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Paths {
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }
}

/// Start in a file that no earlier run has read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// At its first byte.
    #[default]
    Beginning,
    /// After its last whole line.
    End,
}

/// Division of the bytes of a file into events.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// Each line is one event.
    #[default]
    Lines,
    /// The file is one JSON array; each element is one event.
    JsonArray,
    /// Each record is one event: a JSON object.
    Csv,
}

/// Format of CSV records. Fields may be quoted with `"`, and then hold delimiters, line ends and `""` for a quote. A record
/// that is malformed, or has another number of fields than the header, is rejected with its line, and the next one is
/// read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// The delimiter between two fields: one ASCII character. Default `","`; `"\t"` for tabs.
    pub delimiter: String,
    /// The names of the fields: `true` (the default) takes them from the first record of each file; a list such as
    /// `["id", "name"]` gives them, and the first record is data.
    pub header: Header,
    /// Converts fields that are JSON numbers, `true` or `false` to such values. Default `false`: every value is text. A number
    /// with leading zeros, such as `007`, stays text either way.
    pub types: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ",".to_owned(), header: Header::First(true), types: false }
    }
}

/// Origin of the names of the fields.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(untagged, expecting = "expected true, or a list of names")]
pub enum Header {
    /// The first record of each file, if true.
    First(bool),
    /// This list.
    Names(Vec<String>),
}

impl SourceOptions {
    /// Checks the rules that a schema cannot express.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        if self.path.texts().is_empty() {
            errors.push(
                ConfigError::at("/path", "the list of paths is empty")
                    .help("name at least one file, such as path = [\"events.jsonl\"]"),
            );
        }
        if self.poll_interval.is_zero() {
            errors.push(
                ConfigError::at("/poll_interval", "the interval is zero")
                    .help("write something like \"250ms\""),
            );
        }
        if self.csv.is_some() && self.decode != Decode::Csv {
            errors.push(
                ConfigError::at("/csv", "`csv` describes the format of CSV, but `decode` is not \"csv\"")
                    .help("add decode = \"csv\""),
            );
        }
        if let Some(csv) = &self.csv {
            errors.keep(csv.check());
        }
        errors.finish(())
    }
}

impl CsvOptions {
    fn check(&self) -> Result<(), ConfigError> {
        let mut errors = ConfigErrors::default();
        let delimiter = self.delimiter.as_bytes();
        if delimiter.len() != 1 || !delimiter.is_ascii() || b"\"\r\n".contains(&delimiter[0]) {
            errors.push(
                ConfigError::at("/csv/delimiter", "the delimiter is not one ASCII character")
                    .help("write something like \",\", \";\" or \"\\t\""),
            );
        }
        let names: &[String] = match &self.header {
            Header::First(true) => return errors.finish(()),
            Header::First(false) => &[],
            Header::Names(names) => names,
        };
        if names.is_empty() {
            errors.push(
                ConfigError::at("/csv/header", "without a header line the fields need names")
                    .help("write something like header = [\"id\", \"name\"]"),
            );
        }
        errors.keep(check_names(names).map_err(|message| ConfigError::at("/csv/header", message)));
        errors.finish(())
    }
}

/// Checks that no two fields have the same name.
pub(crate) fn check_names(names: &[String]) -> Result<(), String> {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two fields are named `{}`", pair[0])),
        None => Ok(()),
    }
}
