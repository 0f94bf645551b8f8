//! The form of commands: the arguments that an event gives, and those that are fixed.

use std::borrow::Cow;

use tidegate_sdk::json::{self, Path};
use tidegate_sdk::{ConfigError, ConfigErrors, Template};

use crate::sink::options::{Command, Form, Options};

/// The longest time to live, in milliseconds: a thousand years.
const LONGEST_TTL: u128 = 1000 * 365 * 24 * 3600 * 1000;

/// The most arguments of one event. A server closes the connection at a command of more than 1024 * 1024, and with it
/// everything that was sent after it.
const MOST_ARGUMENTS: usize = 1_000_000;

/// An argument of a command: a slice of the batch, or a copy where escapes were undone.
pub(crate) type Argument<'a> = Cow<'a, [u8]>;

/// The form of the commands that a component sends.
pub(crate) struct Shape {
    pub(crate) command: Command,
    pub(crate) key: Template,
    /// The arguments between the key and the values.
    pub(crate) head: Vec<String>,
    /// The arguments after the values.
    pub(crate) tail: Vec<String>,
    values: Values,
}

enum Values {
    /// The payload, or what is at the path.
    One(Option<Path>),
    /// A score, and the payload or what is at the path.
    Scored(Path, Option<Path>),
    /// A field's name, and the payload or what is at the path.
    Named(Name, Option<Path>),
    /// Each member of the payload: its name and its value.
    Members,
}

enum Name {
    Path(Path),
    Template(Template),
}

impl Shape {
    /// The number of arguments beside the key and the values.
    pub(crate) fn fixed(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The form that the options ask for.
    pub(crate) fn new(options: &Options) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        errors.keep(check(options));
        let values = errors.keep(values(options));
        let Some(values) = values else { return Err(errors.into_error()) };
        errors.finish(())?;
        let mut head = Vec::new();
        if let (Command::Xadd, Some(maxlen)) = (options.command, options.maxlen) {
            head.push("MAXLEN".to_owned());
            if !options.maxlen_exact {
                head.push("~".to_owned());
            }
            head.push(maxlen.to_string());
        }
        if options.command == Command::Xadd {
            head.push("*".to_owned());
        }
        let tail = match (options.command, options.ttl) {
            (Command::Set, Some(ttl)) => vec!["PX".to_owned(), ttl.as_millis().to_string()],
            _ => Vec::new(),
        };
        Ok(Self { command: options.command, key: options.key.clone(), head, tail, values })
    }

    /// Adds the arguments of one event. After an error some may have been added.
    pub(crate) fn arguments<'a>(
        &'a self,
        payload: &'a [u8],
        arguments: &mut Vec<Argument<'a>>,
    ) -> Result<(), String> {
        let before = arguments.len();
        match &self.values {
            Values::One(path) => arguments.push(value(payload, path.as_ref())?),
            Values::Scored(score, path) => {
                arguments.push(number(payload, score)?);
                arguments.push(value(payload, path.as_ref())?);
            }
            Values::Named(name, path) => {
                arguments.push(name.render(payload)?);
                arguments.push(value(payload, path.as_ref())?);
            }
            Values::Members => members(payload, arguments)?,
        }
        let count = arguments.len() - before;
        if count > MOST_ARGUMENTS {
            let fields = count / 2;
            return Err(format!(
                "the event has {fields} fields, and a command has at most {}",
                MOST_ARGUMENTS / 2
            ));
        }
        Ok(())
    }
}

impl Name {
    fn render<'a>(&'a self, payload: &'a [u8]) -> Result<Argument<'a>, String> {
        match self {
            Self::Path(path) => value(payload, Some(path)),
            Self::Template(template) => template.render(payload).map(bytes),
        }
    }
}

fn bytes(text: Cow<'_, str>) -> Argument<'_> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn value<'a>(payload: &'a [u8], path: Option<&Path>) -> Result<Argument<'a>, String> {
    match path {
        None => Ok(Cow::Borrowed(payload)),
        Some(path) => path.find_text(payload)?.map(bytes).ok_or_else(|| format!("the event has no `{path}`")),
    }
}

fn number<'a>(payload: &'a [u8], path: &Path) -> Result<Argument<'a>, String> {
    let raw = path.find(payload)?.ok_or_else(|| format!("the event has no `{path}`, which is its score"))?;
    let parsed = std::str::from_utf8(raw).ok().and_then(|text| text.parse::<f64>().ok());
    match parsed {
        // Redis refuses a number that underflows to zero.
        Some(number) if number.is_finite() && !(number == 0.0 && has_digits(raw)) => Ok(Cow::Borrowed(raw)),
        _ => Err(format!("`{path}` is not a number, so it cannot be the score")),
    }
}

/// True if a number has a digit other than 0 before its exponent.
fn has_digits(raw: &[u8]) -> bool {
    raw.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| (b'1'..=b'9').contains(byte))
}

fn members<'a>(payload: &'a [u8], arguments: &mut Vec<Argument<'a>>) -> Result<(), String> {
    let members = json::members(payload).map_err(|reason| match reason.starts_with("malformed") {
        true => reason,
        false => "the event is not a JSON object, so it has no fields".to_owned(),
    })?;
    if members.is_empty() {
        return Err("the event is an empty object, so it has no fields".to_owned());
    }
    for (name, value) in members {
        arguments.push(bytes(name));
        arguments.push(bytes(json::text(value)));
    }
    Ok(())
}

fn values(options: &Options) -> Result<Values, ConfigError> {
    let value = options.value.clone();
    let form = match (options.command, options.form) {
        (Command::Xadd, form) => form.unwrap_or(Form::Payload),
        (Command::Hset, form) => form.unwrap_or(Form::Fields),
        (Command::Zadd, _) => {
            let score = options.score.clone();
            let score = score.ok_or_else(|| {
                ConfigError::at("", "`zadd` needs a score").help("say where it is, such as `score = \".ts\"`")
            })?;
            return Ok(Values::Scored(score, value));
        }
        _ => return Ok(Values::One(value)),
    };
    match (form, &options.field, options.command) {
        (Form::Fields, None, _) if value.is_none() => Ok(Values::Members),
        (Form::Fields, ..) => {
            let pointer = if value.is_some() { "/value" } else { "/field" };
            let message = "with `as = \"fields\"` every member is a field of its own";
            Err(ConfigError::at(pointer, message).help("write `as = \"payload\"` for a single field"))
        }
        (Form::Payload, Some(field), _) => Ok(Values::Named(name(field)?, value)),
        (Form::Payload, None, Command::Xadd) => Ok(Values::Named(name("event")?, value)),
        (Form::Payload, None, _) => {
            Err(ConfigError::at("/as", "`hset` with the payload as one field needs the name of the field")
                .help("say what it is, such as `field = \".id\"`"))
        }
    }
}

/// The name of a field: a path in the event, or a template.
fn name(field: &str) -> Result<Name, ConfigError> {
    let problem = |message: String| ConfigError::at("/field", message);
    match field.starts_with('.') {
        true => field.parse().map(Name::Path).map_err(problem),
        false => field.parse().map(Name::Template).map_err(problem),
    }
}

/// Refuses options that have no effect for the command.
fn check(options: &Options) -> Result<(), ConfigError> {
    let command = options.command;
    let mut errors = ConfigErrors::default();
    let has_fields = matches!(command, Command::Xadd | Command::Hset);
    let trims = command == Command::Xadd || command.is_list();
    for (option, given, fits, reason) in [
        ("as", options.form.is_some(), has_fields, "has no fields; `as` is for `xadd` and `hset`"),
        ("field", options.field.is_some(), has_fields, "has no fields; `field` is for `xadd` and `hset`"),
        ("score", options.score.is_some(), command == Command::Zadd, "has no score; `score` is for `zadd`"),
        (
            "maxlen",
            options.maxlen.is_some(),
            trims,
            "cannot trim; `maxlen` is for `xadd`, `rpush` and `lpush`",
        ),
    ] {
        errors.check(fits || !given, || {
            ConfigError::at(format!("/{option}"), format!("`{}` {reason}", command.option()))
        });
    }
    if trims && options.maxlen == Some(0) {
        errors.push(ConfigError::at("/maxlen", "a key with `maxlen = 0` keeps nothing"));
    }
    if options.maxlen_exact && (command != Command::Xadd || options.maxlen.is_none()) {
        errors.push(ConfigError::at("/maxlen_exact", "this goes with `xadd` and a `maxlen`"));
    }
    errors.keep(check_limits(options));
    errors.finish(())
}

fn check_limits(options: &Options) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    let command = options.command.option();
    if options.ttl.is_some() && options.command == Command::Publish {
        errors.push(ConfigError::at("/ttl", "`publish` writes to a channel, which keeps nothing"));
    }
    if options.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
        errors.push(ConfigError::at("/ttl", "a key must live for at least 1ms"));
    }
    if options.ttl.is_some_and(|ttl| ttl.as_millis() > LONGEST_TTL) {
        errors.push(
            ConfigError::at("/ttl", "Redis cannot count that far").help("leave `ttl` out to keep keys"),
        );
    }
    if options.depth_limit.is_none() {
        return errors.finish(());
    }
    if options.command.depth().is_none() {
        errors.push(ConfigError::at("/depth_limit", format!("what `{command}` writes to has no depth")));
    }
    if options.key.as_literal().is_none() {
        let message = "a key made from data is many keys, so there is no one depth to look at";
        errors.push(ConfigError::at("/depth_limit", message).help("use a literal `key`"));
    }
    errors.finish(())
}
