//! Output of the formats: a JSON object, written to a buffer that is used again.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use tidegate_sdk::json;

use crate::typed::{Types, write_string};

/// Most memory that is kept from one line to the next.
const KEPT: usize = 1 << 20;

/// Fields of one line as a JSON object. Bytes that are not UTF-8 become U+FFFD.
pub(crate) struct Fields {
    json: Vec<u8>,
    types: Arc<Types>,
    /// Names that were written, with their quotes, of all open objects.
    names: Vec<Range<usize>>,
    /// Number of names before each open object inside the outermost one.
    opened: Vec<usize>,
}

/// The largest number of names that are compared with each other one by one.
const FEW: usize = 24;

impl Fields {
    /// Creates fields that are converted to these types.
    pub(crate) fn new(types: Arc<Types>) -> Self {
        Self { json: Vec::new(), types, names: Vec::new(), opened: Vec::new() }
    }

    /// Begins the object of the next line.
    pub(crate) fn begin(&mut self) {
        self.json.clear();
        self.json.shrink_to(KEPT);
        self.json.push(b'{');
        self.names.clear();
        self.opened.clear();
    }

    /// Ends the object and returns its text.
    pub(crate) fn end(&mut self) -> &[u8] {
        self.json.push(b'}');
        &self.json
    }

    /// Returns the object that [`end`](Self::end) has ended.
    pub(crate) fn written(&self) -> &[u8] {
        &self.json
    }

    /// Writes a field whose text is converted to its type, if it has one.
    ///
    /// # Errors
    /// If the conversion fails, with the field and the value.
    pub(crate) fn typed(&mut self, name: &str, text: &[u8]) -> Result<(), String> {
        self.name(name);
        match self.types.of(name) {
            None => write_string(&mut self.json, text),
            Some(kind) => {
                kind.write(text, &mut self.json).map_err(|problem| format!("`{name}` {problem}"))?;
            }
        }
        Ok(())
    }

    /// Writes a field that is text.
    pub(crate) fn text(&mut self, name: &str, text: &[u8]) {
        self.name(name);
        write_string(&mut self.json, text);
    }

    /// Writes a field that is text, or null for `-`.
    pub(crate) fn text_or_null(&mut self, name: &str, text: &[u8]) {
        match text {
            b"-" => self.null(name),
            text => self.text(name, text),
        }
    }

    /// Writes a field that is a time, in UTC.
    pub(crate) fn time(&mut self, name: &str, time: jiff::Timestamp) {
        self.name(name);
        write!(self.json, "\"{time}\"").expect("writing to memory does not fail");
    }

    /// Writes a field that is a whole number.
    pub(crate) fn integer(&mut self, name: &str, number: u64) {
        self.name(name);
        write!(self.json, "{number}").expect("writing to memory does not fail");
    }

    /// Writes a field that is true.
    pub(crate) fn yes(&mut self, name: &str) {
        self.name(name);
        self.json.extend_from_slice(b"true");
    }

    /// Writes a field that is null.
    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.json.extend_from_slice(b"null");
    }

    /// Begins a field that is an object. The next fields are in it, until [`close`](Self::close).
    pub(crate) fn open(&mut self, name: &str) {
        self.name(name);
        self.json.push(b'{');
        self.opened.push(self.names.len());
    }

    /// Ends the object that was opened last.
    pub(crate) fn close(&mut self) {
        self.json.push(b'}');
        self.names.truncate(self.opened.pop().unwrap_or(0));
    }

    /// Returns the names of the innermost open object.
    fn inner_names(&self) -> &[Range<usize>] {
        &self.names[self.opened.last().copied().unwrap_or(0)..]
    }

    /// Returns a name that the innermost open object has twice, as it is written.
    pub(crate) fn repeated(&self) -> Option<&[u8]> {
        let names = self.inner_names();
        let text = |name: &Range<usize>| &self.json[name.clone()];
        let again = if names.len() <= FEW {
            (1..names.len())
                .find(|index| names[..*index].iter().any(|name| text(name) == text(&names[*index])))
        } else {
            let mut seen = HashSet::with_capacity(names.len());
            names.iter().position(|name| !seen.insert(text(name)))
        };
        again.map(|index| text(&names[index]))
    }

    /// Joins the values of each name that the innermost open object has several times to one array, at the place of the
    /// first.
    pub(crate) fn join_repeated(&mut self) {
        if self.repeated().is_none() {
            return;
        }
        let names = self.inner_names();
        let start = names[0].start;
        let mut members: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
        let mut known = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            // A value extends from the colon after its name to the comma before the next one.
            let end = names.get(index + 1).map_or(self.json.len(), |next| next.start - 1);
            let value = &self.json[name.end + 1..end];
            let name = &self.json[name.clone()];
            let member = *known.entry(name).or_insert(members.len());
            match members.get_mut(member) {
                Some((_, values)) => values.push(value),
                None => members.push((name, vec![value])),
            }
        }
        let mut joined = Vec::with_capacity(self.json.len() - start + 2 * members.len());
        for (name, values) in members {
            joined.extend_from_slice(if joined.is_empty() { b"" } else { b"," });
            joined.extend_from_slice(name);
            joined.push(b':');
            match &values[..] {
                [value] => joined.extend_from_slice(value),
                values => {
                    joined.push(b'[');
                    joined.extend_from_slice(&values.join(&b','));
                    joined.push(b']');
                }
            }
        }
        self.json.truncate(start);
        self.json.extend_from_slice(&joined);
    }

    fn name(&mut self, name: &str) {
        if self.json.last() != Some(&b'{') {
            self.json.push(b',');
        }
        let start = self.json.len();
        json::write_text(&mut self.json, name);
        self.names.push(start..self.json.len());
        self.json.push(b':');
    }
}
