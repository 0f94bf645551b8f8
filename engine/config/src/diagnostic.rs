//! Problems of a pipeline file, with their places.

pub(crate) mod render;

use std::ops::Range;

use crate::text::Text;

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline can run, but probably not as meant.
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

/// A place in the file with a remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The bytes of the file.
    pub range: Range<usize>,
    /// The remark beside the carets. May be empty.
    pub text: String,
}

/// A problem of a pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The kind of problem, such as `unknown-key`; it does not change between versions.
    pub code: &'static str,
    /// The message: a lower-case sentence without a full stop.
    pub message: String,
    /// The place. `None` if it is not in the file (an override, a file without sources).
    pub label: Option<Label>,
    /// Related places.
    pub secondary: Vec<Label>,
    /// Help and further explanations.
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

    /// The same problem, with a related place.
    #[must_use]
    pub fn also(mut self, range: Range<usize>, text: impl Into<String>) -> Self {
        self.secondary.push(Label { range, text: text.into() });
        self
    }

    /// The same problem, with a further explanation.
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

/// The mark that some editors write at the start of a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The last start of a character at or before `byte`, or the end.
pub(crate) fn floor(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The first start of a character at or after `byte`, or the end.
pub(crate) fn ceil(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Returns true if one of them is an error.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|one| one.severity == Severity::Error)
}
