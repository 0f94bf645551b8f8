//! Checks texts, numbers and lists.

use crate::check::Checker;
use crate::check::formats::{text_problem, wrong_word};
use crate::diagnostic::Diagnostic;
use crate::document::{Data, Item, place};
use crate::names::with_article;
use crate::schema::Schema;
use crate::schema::example::{example, wrapped};

impl Checker<'_> {
    /// Checks a text, number or list whose type fits.
    pub(super) fn scalar(&mut self, schema: Schema<'_>, named: Schema<'_>, item: &Item, path: &str) {
        match &item.data {
            Data::Text(text) => {
                if let Some(words) = schema.words().filter(|words| !words.contains(&text.value.as_str())) {
                    self.diagnostics.push(wrong_word(&words, item, path));
                } else if let Some(diagnostic) = text_problem(schema, named, item, &text.value, path) {
                    self.diagnostics.push(diagnostic);
                }
            }
            Data::Integer(number) => self.range(schema, named, item, *number as f64, path),
            Data::Float(number) => self.range(schema, named, item, *number, path),
            Data::List(items) => self.list(schema, item, items, path),
            _ => {}
        }
    }

    fn list(&mut self, schema: Schema<'_>, item: &Item, items: &[Item], path: &str) {
        let limit = |name: &str| schema.limit(name).and_then(serde_json::Value::as_u64);
        let count = items.len() as u64;
        let problem = match (limit("minItems"), limit("maxItems")) {
            (Some(least), _) if count < least => Some(format!("at least {least}")),
            (_, Some(most)) if count > most => Some(format!("at most {most}")),
            _ => None,
        };
        if let Some(expected) = problem {
            let message = format!("`{path}` has {count} items, but must have {expected}");
            self.diagnostics.push(place(Diagnostic::error("out-of-range", message), &item.origin, ""));
        }
        if let Some(schema) = schema.items() {
            for (index, inner) in items.iter().enumerate() {
                self.value(schema, inner, &format!("{path}[{index}]"));
            }
        }
    }

    fn range(&mut self, schema: Schema<'_>, named: Schema<'_>, item: &Item, number: f64, path: &str) {
        let limit =
            |name: &str| named.limit(name).or_else(|| schema.limit(name)).and_then(serde_json::Value::as_f64);
        let (formatted_least, formatted_most) = match schema.format() {
            Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
            Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            Some("uint" | "uint64") => (Some(0.0), None),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            _ => (None, None),
        };
        let least = limit("minimum").or(formatted_least);
        let most = limit("maximum").or(formatted_most);
        let above = limit("exclusiveMinimum");
        let below = limit("exclusiveMaximum");
        let sound = least.is_none_or(|least| number >= least)
            && most.is_none_or(|most| number <= most)
            && above.is_none_or(|above| number > above)
            && below.is_none_or(|below| number < below);
        if sound {
            return;
        }
        let lower = least
            .map(|least| format!("at least {least}"))
            .or(above.map(|above| format!("more than {above}")));
        let upper =
            most.map(|most| format!("at most {most}")).or(below.map(|below| format!("less than {below}")));
        let expected: Vec<String> = lower.into_iter().chain(upper).collect();
        let message = format!("`{path}` is {number}, which is out of its limits");
        let label = format!("must be {}", expected.join(" and "));
        self.diagnostics.push(place(Diagnostic::error("out-of-range", message), &item.origin, label));
    }

    pub(super) fn wrong_type(&mut self, schema: Schema<'_>, item: &Item, path: &str) {
        let expected = schema.type_name();
        let shown = match expected.as_str() {
            "true/false" => "`true` or `false`".to_owned(),
            one if ["one of", "`", "text", "secret text"].iter().any(|start| one.starts_with(start)) => {
                one.to_owned()
            }
            one => with_article(one),
        };
        let found = found(item);
        let is_number = matches!(item.data, Data::Integer(_) | Data::Float(_));
        let unit = is_number && matches!(expected.as_str(), "duration" | "size");
        let code = if unit { "wrong-unit" } else { "wrong-type" };
        let message = if unit {
            format!("`{path}` is {shown}, so it needs a unit")
        } else {
            format!("`{path}` must be {shown}, and this is {found}")
        };
        let key = path.rsplit(['.', ']']).next().unwrap_or(path);
        let label = match (key, example(schema, Some(item))) {
            (_, None) => String::new(),
            ("", Some(example)) => format!("write `{example}`"),
            (key, Some(example)) => format!("write it like `{} = {example}`", bare_key(key)),
        };
        let mut diagnostic = place(Diagnostic::error(code, message), &item.origin, label);
        if let Data::Text(text) = &item.data
            && !text.replaced.is_empty()
        {
            diagnostic = diagnostic.note("`${...}` always makes text, so it cannot be used here");
        }
        self.diagnostics.push(diagnostic);
    }
}

fn found(item: &Item) -> &'static str {
    match &item.data {
        Data::Text(_) => "text",
        Data::Integer(_) => "a number",
        Data::Float(_) => "a number with a fraction",
        Data::Boolean(_) => "true/false",
        Data::Date(_) => "a date without quotes",
        Data::List(_) => "a list",
        Data::Table(_) => "a table",
        Data::Broken => "nothing",
    }
}

/// The key as TOML writes it.
fn bare_key(key: &str) -> String {
    let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { wrapped(key) }
}
