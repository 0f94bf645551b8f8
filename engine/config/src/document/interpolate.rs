//! `${NAME}`, `${NAME:-default}` and `${file:/path}` inside text values.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::document::quoted;
use crate::document::{Data, Item, Origin, TextValue, place};
use crate::environment::Environment;

/// Replaces every `${...}` in every text of `item`. A text in which one cannot be replaced is broken.
pub(crate) fn interpolate(
    item: &mut Item,
    source: &str,
    environment: &Environment<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match &mut item.data {
        Data::List(items) => {
            for inner in items {
                interpolate(inner, source, environment, diagnostics);
            }
        }
        Data::Table(table) => {
            for entry in &mut table.entries {
                interpolate(&mut entry.item, source, environment, diagnostics);
            }
        }
        Data::Text(prose) if prose.value.contains("${") => match expand(&prose.value, environment) {
            Ok(expanded) => *prose = expanded,
            Err(problems) => {
                diagnostics.extend(problems.into_iter().map(|problem| problem.at(&item.origin, source)));
                item.data = Data::Broken;
            }
        },
        _ => {}
    }
}

/// The problem of a `${...}`, and its bytes in the written value.
struct Problem {
    range: Range<usize>,
    diagnostic: Diagnostic,
    label: String,
}

impl Problem {
    fn at(self, origin: &Origin, source: &str) -> Diagnostic {
        place(self.diagnostic, &within(origin, source, self.range), self.label)
    }
}

/// The place of the bytes `range` of the written value at `origin`.
pub(crate) fn within(origin: &Origin, source: &str, range: Range<usize>) -> Origin {
    let Origin::File(whole) = origin else { return origin.clone() };
    let Some(literal) = source.get(whole.clone()) else { return origin.clone() };
    let inner = quoted::place(literal, range);
    Origin::File(whole.start + inner.start..whole.start + inner.end)
}

impl TextValue {
    /// The bytes of the written value for the bytes `range` of the value.
    pub(crate) fn written(&self, range: Range<usize>) -> Range<usize> {
        let (mut start, mut end) = (range.start, range.end);
        for (made, written) in &self.replaced {
            let shift = |at: usize, inside: usize| match at {
                at if at >= made.end => written.end + (at - made.end),
                at if at > made.start => inside,
                at => written.start.saturating_sub(made.start - at),
            };
            if range.start >= made.start {
                start = shift(range.start, written.start);
            }
            if range.end > made.start {
                end = shift(range.end, written.end);
            }
        }
        start..end.max(start)
    }
}

fn expand(text: &str, environment: &Environment<'_>) -> Result<TextValue, Vec<Problem>> {
    let (mut prose, mut problems) = (TextValue::default(), Vec::new());
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|offset| at + offset) {
        let escaped = text[at..found].ends_with('$');
        prose.value.push_str(&text[at..found - usize::from(escaped)]);
        let start = prose.value.len();
        let (from, end) = if escaped {
            prose.value.push_str("${");
            (found - 1, found + 2)
        } else {
            let Some(length) = text[found..].find('}') else {
                problems.push(unterminated(found..text.len()));
                return Err(problems);
            };
            let end = found + length + 1;
            match replacement(&text[found + 2..end - 1], environment) {
                Ok(Replacement::Default(value)) => prose.value.push_str(value),
                Ok(Replacement::Outside(value)) => {
                    prose.value.push_str(&value);
                    prose.hidden.push(value);
                }
                Err(refusal) => problems.push(refusal.at(found..end)),
            }
            (found, end)
        };
        prose.replaced.push((start..prose.value.len(), from..end));
        at = end;
    }
    prose.value.push_str(&text[at..]);
    if problems.is_empty() { Ok(prose) } else { Err(problems) }
}

const LITERAL: &str = "a `${` that is not to be replaced is written `$${`";

fn unterminated(range: Range<usize>) -> Problem {
    let message = "this `${` is not closed by a `}`".to_owned();
    Refusal { code: "bad-variable", message, label: "close it with `}`".to_owned(), note: Some(LITERAL) }
        .at(range)
}

enum Replacement<'a> {
    /// Text of the file, which messages may show.
    Default(&'a str),
    Outside(String),
}

/// The problem of a `${...}`: a code, a message, and the label beside the place.
struct Refusal {
    code: &'static str,
    message: String,
    label: String,
    note: Option<&'static str>,
}

impl Refusal {
    fn at(self, range: Range<usize>) -> Problem {
        let mut diagnostic = Diagnostic::error(self.code, self.message);
        diagnostic.notes.extend(self.note.map(str::to_owned));
        Problem { range, diagnostic, label: self.label }
    }
}

/// The replacement of the text between `${` and `}`.
fn replacement<'a>(inner: &'a str, environment: &Environment<'_>) -> Result<Replacement<'a>, Refusal> {
    if let Some(path) = inner.strip_prefix("file:") {
        return match (environment.secret_file)(path) {
            // Files made by `echo` or an editor end with a line break that is not part of the secret.
            Ok(mut secret) => {
                let end = secret.trim_end_matches(['\r', '\n']).len();
                secret.truncate(end);
                Ok(Replacement::Outside(secret))
            }
            Err(reason) => {
                let message = format!("the secret file `{path}` cannot be read");
                Err(Refusal { code: "unreadable-secret", message, label: reason, note: None })
            }
        };
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Refusal {
            code: "bad-variable",
            message: format!("`{name}` is not a variable's name"),
            label: "write `${NAME}`, `${NAME:-default}` or `${file:/path}`".to_owned(),
            note: Some(LITERAL),
        });
    }
    // As in a shell: with `:-` an empty variable counts as unset.
    match ((environment.variable)(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(Replacement::Outside(value)),
        (None, Some(default)) => Ok(Replacement::Default(default)),
        (None, None) => {
            let message = format!("the environment variable `{name}` is not set");
            let label = format!("set it, or give a default: `${{{name}:-default}}`");
            Err(Refusal { code: "unset-variable", message, label, note: None })
        }
    }
}

/// Replaces all text from outside the file in `message` by `***`: the values, and the parts of them that the message
/// quotes.
pub(crate) fn redact(message: &str, hidden: &[&str]) -> String {
    let mut redacted = message.to_owned();
    let mut values: Vec<&str> = hidden.iter().copied().filter(|value| !value.is_empty()).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in &values {
        // A very short value is part of ordinary words, so it is only hidden where it is quoted (below).
        if value.len() >= 4 {
            redacted = redacted.replace(value, "***");
        }
    }
    for quote in ['`', '"', '\''] {
        let parts: Vec<&str> = redacted.split(quote).collect();
        let last = parts.len() - 1;
        let hide = |(index, part): (usize, &str)| {
            let quoted = index % 2 == 1 && index < last && !part.is_empty();
            let is_hidden = quoted && values.iter().any(|value| value.contains(part));
            if is_hidden { "***".to_owned() } else { part.to_owned() }
        };
        redacted = parts.iter().copied().enumerate().map(hide).collect::<Vec<_>>().join(&quote.to_string());
    }
    redacted
}

#[cfg(test)]
mod tests;
