//! Where the formats write what they found: a JSON object, made in one buffer that is used again.

use std::io::Write;
use std::sync::Arc;

use crate::typed::Types;

/// More memory than this is not kept from one line to the next.
const KEPT: usize = 1 << 20;

/// The fields of one line as a JSON object. Bytes that are not UTF-8 become U+FFFD.
pub(crate) struct Fields {
    json: Vec<u8>,
    types: Arc<Types>,
}

impl Fields {
    /// Fields that are converted to these types.
    pub(crate) fn new(types: Arc<Types>) -> Self {
        Self { json: Vec::new(), types }
    }

    /// Forgets the last line and begins the object of the next.
    pub(crate) fn begin(&mut self) {
        self.json.clear();
        self.json.shrink_to(KEPT);
        self.json.push(b'{');
    }

    /// Ends the object and gives its text.
    pub(crate) fn end(&mut self) -> &[u8] {
        self.json.push(b'}');
        &self.json
    }

    /// The object that [`end`](Self::end) has ended.
    pub(crate) fn written(&self) -> &[u8] {
        &self.json
    }

    /// A field whose text is converted to the type that was asked for it; text otherwise.
    ///
    /// # Errors
    /// If it does not convert, with the field and the value.
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

    /// A field that is text.
    pub(crate) fn text(&mut self, name: &str, text: &[u8]) {
        self.name(name);
        write_string(&mut self.json, text);
    }

    /// A field that is text, or null where the log has `-`.
    pub(crate) fn text_or_null(&mut self, name: &str, text: &[u8]) {
        match text {
            b"-" => self.null(name),
            text => self.text(name, text),
        }
    }

    /// A field that is a time, in UTC.
    pub(crate) fn time(&mut self, name: &str, time: jiff::Timestamp) {
        self.name(name);
        write!(self.json, "\"{time}\"").expect("writing to memory does not fail");
    }

    /// A field that is a whole number.
    pub(crate) fn integer(&mut self, name: &str, number: u64) {
        self.name(name);
        write!(self.json, "{number}").expect("writing to memory does not fail");
    }

    /// A field that is true.
    pub(crate) fn yes(&mut self, name: &str) {
        self.name(name);
        self.json.extend_from_slice(b"true");
    }

    /// A field that has no value.
    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.json.extend_from_slice(b"null");
    }

    /// A field that is an object: what follows is in it, until [`close`](Self::close).
    pub(crate) fn open(&mut self, name: &str) {
        self.name(name);
        self.json.push(b'{');
    }

    /// Ends the object that was opened last.
    pub(crate) fn close(&mut self) {
        self.json.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if self.json.last() != Some(&b'{') {
            self.json.push(b',');
        }
        write_string(&mut self.json, name.as_bytes());
        self.json.push(b':');
    }
}

/// Appends `text` in quotes, escaped.
pub(crate) fn write_string(json: &mut Vec<u8>, text: &[u8]) {
    json.push(b'"');
    if std::str::from_utf8(text).is_ok() {
        write_escaped(json, text);
    } else {
        for chunk in text.utf8_chunks() {
            write_escaped(json, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                json.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    json.push(b'"');
}

fn write_escaped(json: &mut Vec<u8>, text: &[u8]) {
    let mut written = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        json.extend_from_slice(&text[written..at]);
        json.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            write!(json, "{byte:04x}").expect("writing to memory does not fail");
        }
        written = at + 1;
    }
    json.extend_from_slice(&text[written..]);
}
