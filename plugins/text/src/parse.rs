//! Filter `parse`: text to JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::framing::CsvReader;
use tidegate_sdk::json::{self, Path};
use tidegate_sdk::{Batch, ConfigError, ConfigErrors, Error, Filter, Output, Plugin};

use crate::csv::Csv;
use crate::fields::Fields;
use crate::merge::merge;
use crate::pattern::Pattern;
use crate::typed::{Type, Types};
use crate::{combined, logfmt, syslog};

const SAMPLE: &str = r#"[filter.parse]
plugin = "parse"
format = "combined"
"#;

pub(crate) fn plugin() -> Plugin {
    let summary = "turns lines of text (access logs, syslog, logfmt, csv, a pattern of your own) into JSON";
    Plugin::filter("parse", summary, SAMPLE, Parse::new)
}

/// Format of the text.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum FormatName {
    /// JSON, which is checked and passed on unchanged.
    Json,
    /// `level=info msg="all is well" cached`: pairs that are separated by spaces, as go-logfmt writes them. A key without a
    /// value is `true`. A key that occurs several times becomes an array.
    Logfmt,
    /// Record of comma-separated values (RFC 4180), whose names are `columns`.
    Csv,
    /// The access logs of Apache and nginx, combined or common: `remote_addr`, `user`, `time`, `method`, `path`,
    /// `protocol`, `status`, `bytes`, `referer`, `user_agent`. A `-` in the log is null. `vhost` comes first if the line begins
    /// with a virtual host, and `forwarded_for` last if it ends with a list of addresses.
    Combined,
    /// RFC 5424 or RFC 3164: `facility`, `facility_code`, `severity`, `severity_code`, `timestamp`, `hostname`,
    /// `app_name`, `proc_id`, `msg_id`, `structured_data`, `message`.
    Syslog,
    /// Your own pattern: each named group of `pattern` is a field.
    Regex,
}

/// Options of the filter `parse`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The format of the text. An event of another format is rejected, with the byte of the difference.
    format: FormatName,
    /// For `csv`: the names of the columns, in order. A record must have exactly as many fields.
    /// Example: `["id", "name", "city"]`.
    columns: Option<Vec<String>>,
    /// For `csv`: the character between the values. Default `","`. Example: `"\t"`.
    delimiter: Option<String>,
    /// For `regex`: the regular expression. It may match anywhere in the line: begin it with `^` and end it with
    /// `$` to match all of it. Example: `^(?<level>[A-Z]+) (?<message>.*)$`.
    pattern: Option<String>,
    /// For `logfmt`, `csv` and `regex`: fields that are not text. Empty text becomes null; text that does not
    /// convert rejects the event. Example: `{ status = "integer", ms = "float", at = "timestamp" }`.
    #[serde(default)]
    types: BTreeMap<String, Type>,
    /// For `syslog`: the year of dates without one, if the event has no timestamp. Such a date gets the year that is nearest to
    /// the event's timestamp, otherwise this year, otherwise the year that is nearest to the current time. Example: `2026`.
    year: Option<i16>,
    /// The path of the text in an event that is a JSON object. The parsed fields are merged into the object and replace members
    /// of the same name. A value that is no text is rejected. By default the whole event is the text. Example: `.message`.
    field: Option<Path>,
}

enum Format {
    Json,
    Logfmt,
    Csv(Arc<Csv>, CsvReader),
    Combined,
    Syslog { near: Option<i64> },
    Regex(Pattern),
}

impl Format {
    fn new(options: &Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(only_for(options.columns.is_some(), "columns", options.format, FormatName::Csv));
        errors.keep(only_for(options.delimiter.is_some(), "delimiter", options.format, FormatName::Csv));
        errors.keep(only_for(options.pattern.is_some(), "pattern", options.format, FormatName::Regex));
        errors.keep(only_for(options.year.is_some(), "year", options.format, FormatName::Syslog));
        match errors.keep(Self::of(options)) {
            Some(format) => errors.finish(format),
            None => Err(errors.into_error()),
        }
    }

    fn of(options: &Options) -> Result<Self, ConfigError> {
        Ok(match options.format {
            FormatName::Json => Self::Json,
            FormatName::Logfmt => Self::Logfmt,
            FormatName::Combined => Self::Combined,
            FormatName::Syslog => Self::Syslog { near: options.year.map(middle_of).transpose()? },
            FormatName::Csv => {
                let csv = csv(options)?;
                let reader = CsvReader::new(csv.delimiter);
                Self::Csv(Arc::new(csv), reader)
            }
            FormatName::Regex => {
                let help = "write one like `pattern = '^(?<level>[A-Z]+) (?<message>.*)$'`";
                let missing = || ConfigError::at("", "the format `regex` needs a `pattern`").help(help);
                Self::Regex(Pattern::new(options.pattern.as_deref().ok_or_else(missing)?)?)
            }
        })
    }

    fn fork(&self) -> Self {
        match self {
            Self::Json => Self::Json,
            Self::Logfmt => Self::Logfmt,
            Self::Csv(csv, reader) => Self::Csv(Arc::clone(csv), reader.clone()),
            Self::Combined => Self::Combined,
            Self::Syslog { near } => Self::Syslog { near: *near },
            Self::Regex(pattern) => Self::Regex(pattern.fork()),
        }
    }

    /// Checks that `types` names fields of the format.
    fn check_types(&self, types: &Types) -> Result<(), ConfigError> {
        let names: Vec<&str> = match self {
            Self::Logfmt => return Ok(()),
            _ if types.is_empty() => return Ok(()),
            Self::Csv(csv, _) => csv.columns.iter().map(String::as_str).collect(),
            Self::Regex(pattern) => pattern.names().collect(),
            Self::Json | Self::Combined | Self::Syslog { .. } => {
                let message = "the fields of this format have fixed types";
                return Err(ConfigError::at("/types", message).help("convert them with the filter `jq`"));
            }
        };
        match types.fields().find(|field| !names.contains(field)) {
            None => Ok(()),
            Some(unknown) => {
                let pointer = format!("/types/{}", unknown.replace('~', "~0").replace('/', "~1"));
                Err(ConfigError::at(pointer, format!("there is no field `{unknown}`"))
                    .help(format!("the fields are {}", names.join(", "))))
            }
        }
    }

    /// Parses `text` into `fields`. `time` is the timestamp of the event in nanoseconds.
    fn parse(&mut self, text: &[u8], time: Option<i64>, fields: &mut Fields) -> Result<(), String> {
        let problem = |what: &'static str| move |problem: String| format!("{what}: {problem}");
        match self {
            // The caller passes JSON on unchanged.
            Self::Json => Ok(()),
            Self::Logfmt => logfmt::parse(text, fields).map_err(problem("not logfmt")),
            Self::Csv(csv, reader) => {
                csv.parse(text, reader, fields).map_err(problem("not a record of these columns"))
            }
            Self::Combined => combined::parse(text, fields).map_err(problem("not an access log")),
            Self::Syslog { near } => {
                let near = time.map(|nanoseconds| nanoseconds / 1_000_000_000).or(*near).unwrap_or_else(now);
                syslog::parse(text, near, fields).map_err(problem("not syslog"))
            }
            Self::Regex(pattern) => pattern.parse(text, fields),
        }
    }
}

fn only_for(given: bool, option: &str, format: FormatName, its: FormatName) -> Result<(), ConfigError> {
    if !given || format == its {
        return Ok(());
    }
    let its = format!("{its:?}").to_lowercase();
    Err(ConfigError::at(format!("/{option}"), format!("`{option}` is only for the format `{its}`")))
}

fn csv(options: &Options) -> Result<Csv, ConfigError> {
    let mut errors = ConfigErrors::default();
    let columns = options.columns.clone().unwrap_or_default();
    if columns.is_empty() {
        let help = "write them like `columns = [\"id\", \"name\"]`";
        errors.push(ConfigError::at("", "the format `csv` needs the names of the columns").help(help));
    }
    let again = columns.iter().enumerate().find(|(index, name)| columns[..*index].contains(name));
    if let Some((index, name)) = again {
        errors.push(ConfigError::at(format!("/columns/{index}"), format!("there are two columns `{name}`")));
    }
    let delimiter = options.delimiter.as_deref().unwrap_or(",");
    match *delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => {
            errors.finish(Csv { columns, delimiter: byte })
        }
        _ => {
            let message = format!("`{}` cannot be a delimiter", delimiter.escape_debug());
            errors.push(
                ConfigError::at("/delimiter", message)
                    .help("it is one ASCII character, like \",\", \";\" or \"\\t\""),
            );
            Err(errors.into_error())
        }
    }
}

/// Returns the text at `path` of an event.
fn text_at<'a>(path: &Path, payload: &'a [u8]) -> Result<Cow<'a, str>, String> {
    let kind = match path.find(payload)? {
        Some(raw @ [b'"', ..]) => return Ok(json::text(raw)),
        None | Some([b'n', ..]) => return Err(format!("the event has no `{path}`")),
        Some([b'{', ..]) => "an object",
        Some([b'[', ..]) => "an array",
        Some([b't' | b'f', ..]) => "a boolean",
        Some(_) => "a number",
    };
    Err(format!("`{path}` is {kind}, not text; convert it with the filter `jq` (`{path} |= tostring`)"))
}

/// Returns the middle of a year in seconds since 1970. The date that is nearest to it is in that year.
fn middle_of(year: i16) -> Result<i64, ConfigError> {
    let middle = Date::new(year, 7, 2).ok().filter(|_| (1900..=9000).contains(&year));
    let zoned = middle.and_then(|date| date.at(0, 0, 0, 0).to_zoned(TimeZone::UTC).ok());
    zoned
        .map(|zoned| zoned.timestamp().as_second())
        .ok_or_else(|| ConfigError::at("/year", format!("{year} is not a year from 1900 to 9000")))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

struct Parse {
    format: Format,
    field: Option<Arc<Path>>,
    types: Arc<Types>,
    fields: Fields,
    merged: Vec<u8>,
}

impl Parse {
    fn new(options: Options) -> Result<Self, ConfigError> {
        let format = Format::new(&options)?;
        let types = Arc::new(Types::new(options.types));
        format.check_types(&types)?;
        Ok(Self::with(format, options.field.map(Arc::new), types))
    }

    fn with(format: Format, field: Option<Arc<Path>>, types: Arc<Types>) -> Self {
        Self { format, field, fields: Fields::new(Arc::clone(&types)), types, merged: Vec::new() }
    }

    /// Returns the new payload of an event; `None` if it is unchanged.
    fn parse(&mut self, batch: &Batch, event: usize) -> Result<Option<&[u8]>, String> {
        let payload = batch.payload(event);
        let within;
        let text = match &self.field {
            None => payload,
            Some(path) => {
                within = text_at(path, payload)?;
                within.as_bytes()
            }
        };
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let found = match &mut self.format {
            Format::Json => {
                json::check(text)?;
                text
            }
            format => {
                self.fields.begin();
                format.parse(text, batch.timestamp(event), &mut self.fields)?;
                self.fields.end()
            }
        };
        match (&self.field, &self.format) {
            (None, Format::Json) => Ok(None),
            (None, _) => Ok(Some(self.fields.written())),
            (Some(_), _) => {
                merge(payload, found, &mut self.merged)?;
                Ok(Some(&self.merged))
            }
        }
    }
}

impl Filter for Parse {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        for event in 0..batch.len() {
            match self.parse(batch, event) {
                Ok(Some(payload)) => out.write(event, payload),
                Ok(None) => out.keep(event),
                Err(reason) => out.reject(event, reason),
            }
        }
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self::with(self.format.fork(), self.field.clone(), Arc::clone(&self.types))))
    }
}
