//! What is wrong with a pipeline file, and where.

pub(crate) mod render;

use std::ops::Range;

use crate::text::Text;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline can run, but hardly as meant.
    Warning,
}

impl Severity {
    /// The word for it: `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in the file, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The bytes of the file.
    pub range: Range<usize>,
    /// What stands beside the carets; may be empty.
    pub text: String,
}

/// One problem of a pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of problem, such as `unknown-key`; it does not change between versions.
    pub code: &'static str,
    /// What is wrong: a lower-case sentence without a full stop.
    pub message: String,
    /// Where it is; `None` if it is not in the file (an override, a file without sources).
    pub label: Option<Label>,
    /// Other places that have to do with it.
    pub secondary: Vec<Label>,
    /// What to do about it, and what to know about it.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error with this code and message, and no place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity: Severity::Error,
            code,
            message,
            label: None,
            secondary: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A warning with this code and message, and no place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same problem, at this place of the file.
    #[must_use]
    pub fn label(mut self, range: Range<usize>, text: impl Into<String>) -> Self {
        self.label = Some(Label { range, text: text.into() });
        self
    }

    /// The same problem, with another place that has to do with it.
    #[must_use]
    pub fn also(mut self, range: Range<usize>, text: impl Into<String>) -> Self {
        self.secondary.push(Label { range, text: text.into() });
        self
    }

    /// The same problem, with something more to say about it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Line and column of the place, both from 1, the column in characters.
    pub fn line_column(&self, text: &Text) -> Option<(usize, usize)> {
        self.label.as_ref().map(|label| line_column(&text.text, label.range.start))
    }
}

/// Line and column of a byte, both from 1, the column in characters. A byte order mark is no character.
pub(crate) fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..floor(text, byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[line_start..].chars().filter(|c| *c != BYTE_ORDER_MARK).count();
    (before.matches('\n').count() + 1, column + 1)
}

/// What some editors put in front of a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The last place at or before `byte` where a character begins, or the end.
pub(crate) fn floor(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The first place at or behind `byte` where a character begins, or the end.
pub(crate) fn ceil(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Whether one of them is an error.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|one| one.severity == Severity::Error)
}
