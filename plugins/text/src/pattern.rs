//! Regular expressions with named groups, and the byte at which a line stops matching.

use std::sync::Arc;

use regex::bytes::{CaptureLocations, Regex};
use regex_syntax::ast;
use tidegate_sdk::ConfigError;

use crate::fields::Fields;

/// Most pieces of a pattern that are tried to find the byte at which a line stops matching.
const MOST_PIECES: usize = 64;

/// Compiled pattern. Matching takes linear time.
pub(crate) struct Pattern {
    shared: Arc<Shared>,
    found: CaptureLocations,
    /// The beginnings of the pattern, compiled when the first line does not match.
    beginnings: Option<Vec<Regex>>,
}

struct Shared {
    text: String,
    regex: Regex,
    /// Index and name of each group.
    groups: Vec<(usize, String)>,
    /// Ends of the pieces of the pattern in its text.
    pieces: Vec<usize>,
}

impl Pattern {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// The defect of the pattern, underlined.
    pub(crate) fn new(text: &str) -> Result<Self, ConfigError> {
        let at = |message: String| ConfigError::at("/pattern", message);
        let pieces = pieces(text)?;
        let regex = Regex::new(text).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                at(format!("the pattern needs more than {} to match", tidegate_sdk::Size(limit as u64)))
                    .help("make its repetitions smaller")
            }
            error => at(error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned()),
        })?;
        let named = |(index, name): (usize, Option<&str>)| name.map(|name| (index, name.to_owned()));
        let groups: Vec<_> = regex.capture_names().enumerate().filter_map(named).collect();
        if groups.is_empty() {
            let help = "name the parts that become fields, like `(?<status>[0-9]+)`";
            return Err(at("the pattern has no named group".to_owned()).help(help));
        }
        let found = regex.capture_locations();
        let shared = Arc::new(Shared { text: text.to_owned(), regex, groups, pieces });
        Ok(Self { shared, found, beginnings: None })
    }

    /// Creates another instance of the same pattern.
    pub(crate) fn fork(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { found: shared.regex.capture_locations(), shared, beginnings: None }
    }

    /// Returns the names of the groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.shared.groups.iter().map(|(_, name)| name.as_str())
    }

    pub(crate) fn parse(&mut self, line: &[u8], fields: &mut Fields) -> Result<(), String> {
        // A dot matches a character, and bytes that are not UTF-8 are none, so they are replaced first.
        let line = String::from_utf8_lossy(line);
        let line = line.as_bytes();
        if self.shared.regex.captures_read(&mut self.found, line).is_none() {
            return Err(self.mismatch(line));
        }
        for (index, name) in &self.shared.groups {
            match self.found.get(*index) {
                Some((start, end)) => fields.typed(name, &line[start..end])?,
                None => fields.null(name),
            }
        }
        Ok(())
    }

    /// Returns the reason of a mismatch, with the end of the longest beginning of the pattern that matches.
    fn mismatch(&mut self, line: &[u8]) -> String {
        let Shared { text, pieces, .. } = &*self.shared;
        let beginnings = self.beginnings.get_or_insert_with(|| {
            let beginning = |end: &usize| Regex::new(&text[..*end]).ok();
            pieces.iter().map_while(beginning).collect()
        });
        let matched = beginnings.iter().map_while(|beginning| beginning.find(line)).enumerate().last();
        let piece = |index: usize| {
            let start = if index == 0 { 0 } else { pieces[index - 1] };
            pieces.get(index).map_or("", |end| &text[start..*end])
        };
        match matched {
            Some((index, found)) => format!(
                "the line does not match the pattern: `{}` does not match at byte {}, at `{}`",
                piece(index + 1),
                found.end(),
                crate::scan::shorten(&line[found.end()..])
            ),
            None => format!("the line does not match the pattern: `{}` matches nowhere", piece(0)),
        }
    }
}

/// Returns the ends of the pieces that follow each other at the top level of the pattern.
fn pieces(text: &str) -> Result<Vec<usize>, ConfigError> {
    let tree = ast::parse::Parser::new().parse(text).map_err(|error| {
        let span = error.span();
        let end = span.end.offset.max(span.start.offset + 1).min(text.len());
        let start = span.start.offset.min(end.saturating_sub(1));
        ConfigError::at("/pattern", error.kind().to_string())
            .range(start..end)
            .help("the syntax is that of https://docs.rs/regex/latest/regex/#syntax")
    })?;
    match &tree {
        ast::Ast::Concat(concat) => {
            Ok(concat.asts.iter().map(|piece| piece.span().end.offset).take(MOST_PIECES).collect())
        }
        _ => Ok(vec![text.len()]),
    }
}
