//! Texts with a format: words, durations, sizes, paths, templates.

use tidegate_sdk::{Duration, Size, Template, json};

use crate::diagnostic::Diagnostic;
use crate::document::{Item, place};
use crate::names::{listed, nearest, with_article};
use crate::schema::Schema;
use crate::schema::example::example;

/// The error of a text that is none of the allowed words.
pub(crate) fn wrong_word(words: &[&str], item: &Item, path: &str) -> Diagnostic {
    let nearest = item.shown().and_then(|text| nearest(text, words.iter().copied()));
    let message = match item.shown() {
        Some(text) => format!("`{path}` cannot be `{text}`"),
        None => format!("the value of `{path}` is not allowed"),
    };
    let known = listed(words.iter().copied(), "or");
    let diagnostic = Diagnostic::error("wrong-value", message);
    match (nearest, words) {
        (Some(name), [_, _, ..]) => place(diagnostic, &item.origin, format!("did you mean `{name}`?"))
            .note(format!("it is one of {known}")),
        (_, [_]) => place(diagnostic, &item.origin, format!("it must be {known}")),
        _ => place(diagnostic, &item.origin, format!("it is one of {known}")),
    }
}

/// The error of a text that breaks its format or limits.
pub(crate) fn text_problem(
    schema: Schema<'_>,
    named: Schema<'_>,
    item: &Item,
    value: &str,
    path: &str,
) -> Option<Diagnostic> {
    let limit = |name: &str| named.limit(name).or_else(|| schema.limit(name));
    let (code, label) = match schema.format() {
        Some("duration-text") => match value.parse::<Duration>() {
            Ok(value) => ("out-of-range", limits::<Duration>(&value, limit)?),
            Err(_) => ("wrong-unit", unit_label("duration", value, named, item)),
        },
        Some("size-text") => match value.parse::<Size>() {
            Ok(value) => ("out-of-range", limits::<Size>(&value, limit)?),
            Err(_) => ("wrong-unit", unit_label("size", value, named, item)),
        },
        Some("json-path-text") => {
            value.parse::<json::Path>().err()?;
            ("wrong-value", "write a path like `.user.name`, `.items[0]` or `.\"odd name\"`".to_owned())
        }
        Some("template-text") => {
            ("wrong-value", template_label(&value.parse::<Template>().err()?, named, item))
        }
        _ => {
            let least = limit("minLength").and_then(serde_json::Value::as_u64)?;
            if value.chars().count() as u64 >= least {
                return None;
            }
            ("wrong-value", format!("it must have at least {least} characters"))
        }
    };
    let message = match (code, item.shown()) {
        ("out-of-range", Some(text)) => format!("`{path}` is {text}, which is out of its limits"),
        ("out-of-range", None) => format!("the value of `{path}` is out of its limits"),
        (_, Some("")) => format!("`{path}` is empty"),
        (_, Some(text)) => format!("`{text}` is not {}", with_article(&schema.type_name())),
        (_, None) => format!("the value of `{path}` is not {}", with_article(&schema.type_name())),
    };
    Some(place(Diagnostic::error(code, message), &item.origin, label))
}

/// The error of a template without the template, which the message shows already, and with a hint that fits the option.
/// If part of the template comes from outside the file, the error would show it.
fn template_label(error: &str, schema: Schema<'_>, item: &Item) -> String {
    let rest = item.shown().and_then(|text| error.strip_prefix(&format!("`{text}` ")));
    match rest {
        Some(rest) if !rest.starts_with("begins with data") => rest.to_owned(),
        _ => {
            let like = schema.examples().find(|example| example.contains('{'));
            let like = like.map(|example| format!(", such as `{example}`")).unwrap_or_default();
            format!("a literal part must come before the first `{{`{like}")
        }
    }
}

fn unit_label(noun: &str, value: &str, schema: Schema<'_>, item: &Item) -> String {
    let numbered = item.shown().is_some() && value.parse::<f64>().is_ok_and(|number| number >= 0.0);
    match (noun, numbered) {
        ("duration", true) => format!("it needs a unit: `\"{value}s\"`"),
        ("size", true) => format!("it needs a unit: `\"{value}MiB\"`"),
        ("duration", false) if item.shown().is_some() && duration_meant(value).is_some() => {
            format!("did you mean `\"{}\"`?", duration_meant(value).unwrap_or_default())
        }
        _ => {
            let example = example(schema, None).unwrap_or_default();
            let units =
                if noun == "duration" { "`ms`, `s`, `m`, `h`, `d`" } else { "`B`, `KiB`, `MiB`, `GiB`" };
            format!("write it like `{example}`; the units are {units}")
        }
    }
}

/// The limits, if the value is out of them.
fn limits<'v, T>(value: &T, limit: impl Fn(&str) -> Option<&'v serde_json::Value>) -> Option<String>
where
    T: std::str::FromStr + PartialOrd,
{
    let bound = |name: &str| {
        let text = limit(name)?.as_str()?;
        text.parse::<T>().ok().map(|bound| (bound, text))
    };
    let (least, most) = (bound("x-at-least"), bound("x-at-most"));
    let sound = least.as_ref().is_none_or(|(least, _)| value >= least)
        && most.as_ref().is_none_or(|(most, _)| value <= most);
    let least = least.map(|(_, text)| format!("at least {text}"));
    let most = most.map(|(_, text)| format!("at most {text}"));
    let expected: Vec<String> = least.into_iter().chain(most).collect();
    (!sound).then(|| format!("must be {}", expected.join(" and ")))
}

/// The duration that is meant by a unit written as a word: `60 sec`, `5 minutes`.
fn duration_meant(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let unit = match unit.trim() {
        "ms" | "msec" | "msecs" | "millis" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    let meant = format!("{number}{unit}");
    meant.parse::<Duration>().is_ok().then_some(meant)
}
