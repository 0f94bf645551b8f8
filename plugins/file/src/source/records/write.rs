//! JSON objects of records.

use tidegate_sdk::framing::CsvReader;
use tidegate_sdk::{BatchBuilder, Size, Span, json};

/// Names of the fields as JSON: `{"first":`, `,"second":` and so on.
pub(super) struct Names(Vec<Vec<u8>>);

impl Names {
    pub(super) fn new(names: &[String]) -> Self {
        let prefix = |(index, name): (usize, &String)| {
            let mut prefix = vec![if index == 0 { b'{' } else { b',' }];
            json::write_text(&mut prefix, name);
            prefix.push(b':');
            prefix
        };
        Self(names.iter().enumerate().map(prefix).collect())
    }
}

/// JSON of the records of one batch.
#[derive(Default)]
pub(super) struct Made {
    json: Vec<u8>,
    spans: Vec<(u32, u32)>,
}

impl Made {
    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Length of all events.
    pub(super) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Appends the record that `reader` has read from `raw`. With `types`, a field that is a JSON number, `true` or `false`
    /// becomes such a value.
    ///
    /// # Errors
    /// The reason why the record becomes no event. Nothing is appended then.
    pub(super) fn write(
        &mut self,
        names: &Names,
        reader: &CsvReader,
        raw: &[u8],
        types: bool,
        limit: usize,
    ) -> Result<(), String> {
        let (fields, columns) = (reader.len(), names.0.len());
        if fields != columns {
            return Err(format!("the record has {}, but there are {columns} names", counted(fields)));
        }
        if let Err(error) = std::str::from_utf8(raw) {
            return Err(format!("the record is not UTF-8 (byte {} of the record)", error.valid_up_to()));
        }
        let start = self.json.len();
        for (name, field) in names.0.iter().zip(reader.fields(raw)) {
            self.json.extend_from_slice(name);
            if types && (is_number(&field) || *field == *b"true" || *field == *b"false") {
                self.json.extend_from_slice(&field);
            } else {
                // The record is UTF-8, and its fields are whole characters.
                json::write_text(&mut self.json, std::str::from_utf8(&field).unwrap_or_default());
            }
        }
        self.json.push(b'}');
        let length = self.json.len() - start;
        if length > limit {
            self.json.truncate(start);
            return Err(format!("as JSON it is over the limit of {}", Size(limit as u64)));
        }
        self.spans.push((start as u32, length as u32));
        Ok(())
    }

    pub(super) fn put(self, builder: &mut BatchBuilder) {
        if self.spans.is_empty() {
            return;
        }
        let buffer = builder.add_buffer(self.json.into());
        for (offset, length) in self.spans {
            builder.push_span(Span { buffer, offset, length });
        }
    }
}

/// Returns a number of fields in words.
fn counted(fields: usize) -> String {
    if fields == 1 { "1 field".to_owned() } else { format!("{fields} fields") }
}

/// Tells whether the field is a JSON number (RFC 8259, section 6).
fn is_number(field: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = field.strip_prefix(b"-").unwrap_or(field);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}
