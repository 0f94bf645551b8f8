//! Examples of a right value, as TOML.

use serde_json::Value;
use tidegate_sdk::Size;

use crate::document::{Data, Item};
use crate::schema::{Form, Schema};

/// A right value of this schema as TOML, made from `item`, the wrong one, where that is possible.
pub(crate) fn example(schema: Schema<'_>, item: Option<&Item>) -> Option<String> {
    if let Some(repaired) = item.and_then(|item| repaired(schema, item)) {
        return Some(repaired);
    }
    let default = schema.default().filter(|value| value.as_str() != Some(""));
    if let Some(value) = default.or(schema.example()) {
        return Some(toml_text(value));
    }
    if let Some(words) = schema.all_words() {
        return words.first().map(|word| wrapped(word));
    }
    let first = schema.choices().into_iter().next()?;
    if let Some(value) = first.example() {
        return Some(toml_text(value));
    }
    match first.form()? {
        Form::Text => Some("\"...\"".to_owned()),
        Form::Integer | Form::Number => Some(
            first
                .limit("minimum")
                .filter(|least| least.as_f64() != Some(0.0))
                .map_or("1".to_owned(), Value::to_string),
        ),
        Form::Boolean => Some("true".to_owned()),
        Form::List => match first.items().and_then(|items| example(items, None)) {
            Some(one) => Some(format!("[{one}]")),
            None => Some("[...]".to_owned()),
        },
        Form::Table => Some("{ ... }".to_owned()),
    }
}

/// A right value of this schema.
pub(crate) fn sample(schema: Schema<'_>) -> Option<Value> {
    let choice = schema.choices().into_iter().next()?;
    if let Some(value) = schema.default().or(schema.example()).or(choice.example()) {
        return Some(value.clone());
    }
    if let Some(word) = schema.all_words().and_then(|words| words.first().copied()) {
        return Some(word.into());
    }
    match choice.form()? {
        Form::Text => Some("sample".into()),
        Form::Integer | Form::Number => Some(choice.limit("minimum").cloned().unwrap_or_else(|| 1.into())),
        Form::Boolean => Some(true.into()),
        Form::List => Some(choice.items().and_then(sample).into_iter().collect()),
        Form::Table => None,
    }
}

/// The wrong value as it was probably meant.
fn repaired(schema: Schema<'_>, item: &Item) -> Option<String> {
    let choice = schema.choices().into_iter().next()?;
    match (choice.form()?, choice.format(), &item.data) {
        (Form::Text, Some("duration-text"), Data::Integer(number)) if *number >= 0 => {
            Some(format!("\"{number}s\""))
        }
        (Form::Text, Some("duration-text"), Data::Float(number)) if *number >= 0.0 => {
            Some(format!("\"{number}s\""))
        }
        (Form::Text, Some("size-text"), Data::Integer(number)) => {
            let size = Size(u64::try_from(*number).ok()?).to_string();
            // `Display` rounds what is no whole number of its unit.
            Some(if size.contains('.') { format!("\"{number}B\"") } else { format!("\"{size}\"") })
        }
        (Form::Text, None, Data::Integer(number)) => Some(format!("\"{number}\"")),
        (Form::Text, None, Data::Float(number)) => Some(format!("\"{number}\"")),
        (Form::Text, None, Data::Boolean(value)) => Some(format!("\"{value}\"")),
        (Form::Text, None, Data::Date(text)) => Some(wrapped(text)),
        (Form::Integer, _, Data::Text(_)) => {
            item.shown()?.trim().parse::<i64>().ok().map(|number| number.to_string())
        }
        (Form::Number, _, Data::Text(_)) => {
            item.shown()?.trim().parse::<f64>().ok().map(|number| number.to_string())
        }
        (Form::Boolean, _, Data::Text(_)) => match item.shown()? {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        },
        (Form::List, _, Data::Text(_)) => {
            let fits = choice.items().is_some_and(|items| items.form() == Some(Form::Text));
            item.shown().filter(|_| fits).map(|text| format!("[{}]", wrapped(text)))
        }
        _ => None,
    }
}

/// Text in quotes.
pub(crate) fn wrapped(text: &str) -> String {
    Value::from(text).to_string()
}

/// A JSON value as TOML writes it in one line.
pub(crate) fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{key} = {}", toml_text(value)))
                .collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        other => other.to_string(),
    }
}
