//! Diagnostics as people and editors read them.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{BYTE_ORDER_MARK, Diagnostic, Label, Severity, ceil, floor, line_column};
use crate::text::Text;

/// Diagnostics as a compiler shows them: the place, the line, carets and the help. The text ends with a line break, unless
/// there are no diagnostics. It does not depend on the width of the terminal.
pub fn render(diagnostics: &[Diagnostic], text: &Text, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let shown = Shown::new(text);
    let mut rendered = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            rendered.push('\n');
        }
        rendered.push_str(&renderer.render(&[shown.group(diagnostic)]));
        rendered.push('\n');
    }
    rendered
}

/// The text without a byte order mark.
struct Shown<'a> {
    path: &'a str,
    source: &'a str,
    skipped: usize,
}

impl<'a> Shown<'a> {
    fn new(text: &'a Text) -> Self {
        let source = text.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text.text);
        Self { path: &text.path, source, skipped: text.text.len() - source.len() }
    }

    fn group(&self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
        let group = match &diagnostic.label {
            Some(label) => {
                let secondary = diagnostic.secondary.iter();
                let snippet = Snippet::source(self.source)
                    .path(self.path)
                    .annotation(self.annotation(AnnotationKind::Primary, label))
                    .annotations(secondary.map(|label| self.annotation(AnnotationKind::Context, label)));
                title.element(snippet)
            }
            None => title.element(Origin::path(self.path)),
        };
        group
            .elements(diagnostic.notes.iter().map(|note| Level::NOTE.no_name().message(escape_control(note))))
    }

    fn annotation(&self, kind: AnnotationKind, label: &Label) -> annotate_snippets::Annotation<'a> {
        let start = floor(self.source, label.range.start.saturating_sub(self.skipped));
        let end = ceil(self.source, label.range.end.saturating_sub(self.skipped)).max(start);
        let annotation = kind.span(start..end);
        if label.text.is_empty() { annotation } else { annotation.label(escape_control(&label.text)) }
    }
}

/// Replaces characters that would move the cursor or colour the terminal.
fn escape_control(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Diagnostics for editors: a list of objects with `file`, `line`, `column`, `end_line`, `end_column` (all
/// from 1, columns in characters; `null` where there is no place), `severity`, `code`, `message`, `label`,
/// `related` (other places) and `notes`.
pub fn to_json(diagnostics: &[Diagnostic], text: &Text) -> Value {
    diagnostics.iter().map(|diagnostic| one(diagnostic, text)).collect()
}

fn one(diagnostic: &Diagnostic, text: &Text) -> Value {
    let place = diagnostic.label.as_ref().map(|label| place(label, text));
    let at = |index: usize| place.map(|place| place[index]);
    let related: Vec<Value> = diagnostic
        .secondary
        .iter()
        .map(|label| {
            let [line, column, end_line, end_column] = self::place(label, text);
            json!({ "line": line, "column": column, "end_line": end_line, "end_column": end_column,
                    "label": label.text })
        })
        .collect();
    json!({
        "file": text.path,
        "line": at(0),
        "column": at(1),
        "end_line": at(2),
        "end_column": at(3),
        "severity": diagnostic.severity.name(),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "label": diagnostic.label.as_ref().map(|label| label.text.as_str()),
        "related": related,
        "notes": diagnostic.notes,
    })
}

fn place(label: &Label, text: &Text) -> [usize; 4] {
    let (line, column) = line_column(&text.text, label.range.start);
    let (end_line, end_column) = line_column(&text.text, label.range.end);
    [line, column, end_line, end_column]
}
