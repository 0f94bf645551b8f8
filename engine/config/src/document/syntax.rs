//! Errors of the TOML itself, and the diagnostics that they make unreliable.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::diagnostic::Diagnostic;

/// The part of the file that could not be parsed: something that seems to be missing may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unparsed {
    None,
    /// Whole components.
    Components,
    /// Anything.
    Anything,
}

/// The largest number of parser errors that are read.
const MOST_ERRORS: usize = 1000;

/// The parser's errors, one a line.
pub(crate) fn diagnostics(errors: &[toml::de::Error], source: &str) -> Vec<Diagnostic> {
    let headers = headers(source);
    let mut lines = BTreeSet::new();
    let mut found = Vec::new();
    for error in errors.iter().take(MOST_ERRORS) {
        let range = error.span().unwrap_or(source.len()..source.len());
        let line = line_start(source, range.start);
        // The keys below a header that is written twice are not wrong themselves.
        let header = header_of(&headers, line).filter(|header| *header != line && lines.contains(header));
        if error.message().starts_with("duplicate key") && header.is_some() {
            continue;
        }
        // Later errors of a line are mostly consequences of the first.
        if lines.insert(line) {
            found.push(diagnostic(error.message(), range, source));
        }
    }
    found
}

fn diagnostic(message: &str, range: Range<usize>, source: &str) -> Diagnostic {
    let written = source.get(range.clone()).unwrap_or_default();
    if message.starts_with("duplicate key") {
        return duplicate(written, range, source);
    }
    let (what, expected) = match message.split_once(", expected ") {
        // The parser names expected marks such as `]` as the user knows them, and other things in its own terms.
        Some((what, expected)) if expected.contains('`') => (what, format!("expected {expected}")),
        Some((what, _)) => (what, String::new()),
        None => (message, String::new()),
    };
    let diagnostic = Diagnostic::error("syntax", format!("this is not TOML: {what}"));
    let diagnostic = diagnostic.label(range.clone(), expected);
    let line = &source[line_start(source, range.start)..];
    let line = line.lines().next().unwrap_or_default();
    match hint(line) {
        Some(hint) => diagnostic.note(hint),
        None => diagnostic,
    }
}

/// A hint for a line that is not TOML, after the most frequent mistakes.
fn hint(line: &str) -> Option<&'static str> {
    let line = line.split('#').next().unwrap_or(line).trim();
    if line.starts_with('[') && !line.ends_with(']') {
        return Some("a table's header ends with `]`: `[source.users]`");
    }
    match line.split_once('=') {
        None if line.contains(':') => Some("TOML writes `key = value`, not `key: value`"),
        None => Some("TOML writes `key = value`"),
        Some((_, value)) => {
            let value = value.trim();
            let quotes = value.matches(['"', '\'']).count();
            let bare = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.');
            match (value, quotes) {
                ("", _) => Some("the value is missing"),
                ("True" | "TRUE" | "False" | "FALSE", _) => Some("write `true` or `false`, in lower case"),
                (_, 0) if bare => Some("text stands in quotes: `key = \"value\"`"),
                (_, 1) => Some("text ends with the same quote as it begins"),
                _ => None,
            }
        }
    }
}

fn duplicate(written: &str, range: Range<usize>, source: &str) -> Diagnostic {
    let start = line_start(source, range.start);
    let line = source[start..].lines().next().unwrap_or_default().trim();
    let header = line.starts_with('[');
    let (what, label) = if header {
        (
            format!("the table `{line}` is written twice"),
            "put its keys under the first, or give it another name",
        )
    } else {
        (format!("the key `{written}` is written twice in one table"), "remove one of them")
    };
    let diagnostic = Diagnostic::error("duplicate-key", what).label(range, label);
    match first_of(written, line, header, &source[..start]) {
        Some(first) => diagnostic.also(first, "the first is here"),
        None => diagnostic,
    }
}

/// The first place of the header `line` or the key `written` in the text before.
fn first_of(written: &str, line: &str, header: bool, before: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut at = 0;
    for candidate in before.split_inclusive('\n') {
        let text = candidate.trim();
        let indent = candidate.len() - candidate.trim_start().len();
        let start = at + indent;
        let is_key = text.contains('=') && text.split('=').next().is_some_and(|key| key.trim() == written);
        if header {
            if text == line {
                return Some(start..start + text.len());
            }
        } else if text.starts_with('[') {
            // The table of a key begins at the last header before it.
            found = None;
        } else if is_key {
            found = found.or(Some(start..start + written.len()));
        }
        at += candidate.len();
    }
    found
}

fn line_start(source: &str, at: usize) -> usize {
    let at = crate::diagnostic::floor(source, at);
    source[..at].rfind('\n').map_or(0, |at| at + 1)
}

/// The starts of the lines that are headers of tables.
fn headers(source: &str) -> Vec<usize> {
    let mut at = 0;
    let mut headers = Vec::new();
    for line in source.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            headers.push(at);
        }
        at += line.len();
    }
    headers
}

/// The header above the line at `start` (itself, if it is one).
fn header_of(headers: &[usize], start: usize) -> Option<usize> {
    headers[..headers.partition_point(|header| *header <= start)].last().copied()
}

/// Removes diagnostics that may only be consequences of a part of the file that could not be parsed.
pub(crate) fn withdraw_consequences(diagnostics: &mut Vec<Diagnostic>, source: &str, unparsed: Unparsed) {
    const ABSENT_COMPONENTS: [&str; 6] =
        ["unread", "unused-output", "no-source", "no-sink", "unknown-from", "nothing-above"];
    const ABSENT_KEYS: [&str; 2] = ["missing-key", "bad-option"];
    if unparsed >= Unparsed::Components {
        diagnostics.retain(|one| !ABSENT_COMPONENTS.contains(&one.code));
    }
    let has = |code: &str| diagnostics.iter().any(|one| one.code == code);
    let (no_source, no_sink) = (has("no-source"), has("no-sink"));
    diagnostics.retain(|one| !(no_source && one.code == "nothing-above" || no_sink && one.code == "unread"));
    if unparsed < Unparsed::Anything {
        return;
    }
    let headers = headers(source);
    let line = |one: &Diagnostic| one.label.as_ref().map(|label| line_start(source, label.range.start));
    let is_syntax = |one: &Diagnostic| matches!(one.code, "syntax" | "duplicate-key");
    let lines: BTreeSet<usize> = diagnostics.iter().filter(|one| is_syntax(one)).filter_map(line).collect();
    diagnostics.retain(|one| {
        // Below a broken header, the table of a key is unknown.
        let bad_line = line(one).is_some_and(|line| {
            lines.contains(&line) || header_of(&headers, line).is_some_and(|header| lines.contains(&header))
        });
        is_syntax(one) || !(bad_line || ABSENT_KEYS.contains(&one.code))
    });
}
