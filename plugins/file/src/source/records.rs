//! The records of a CSV file.

use bytes::{Bytes, BytesMut};
use tidegate_sdk::{BATCH_BYTES, BATCH_EVENTS, BatchBuilder, Size, SourceRejection, Span};

use super::options::{CsvOptions, Header};

#[cfg(test)]
mod tests;

/// How many fields a record has, at most.
const FIELDS: usize = 1 << 16;
/// How much of a record over the limit is kept for the dead letters.
const KEPT: usize = 4096;

/// Cuts a stream of bytes that is CSV into JSON objects, never holding more than one record and what was read
/// with it. Used as [`tidegate_sdk::framing::Lines`] is.
pub(crate) struct Records {
    parser: csv_core::Reader,
    delimiter: u8,
    types: bool,
    limit: usize,
    /// `{"first":`, `,"second":` and so on; `None` until the header has been read.
    names: Option<Vec<Vec<u8>>>,
    pending: BytesMut,
    /// How far `pending` has been parsed.
    at: usize,
    /// The line that the record at the front of `pending` begins at.
    line: u64,
    record: Record,
    /// The head and the length of a record over the limit, while it goes by.
    oversized: Option<(Bytes, u64)>,
}

/// The fields of the record that is being parsed, one behind the other.
#[derive(Default)]
struct Record {
    text: Vec<u8>,
    length: usize,
    ends: Vec<usize>,
    fields: usize,
    overflowed: bool,
}

impl Records {
    pub(crate) fn new(options: &CsvOptions, limit: usize) -> Self {
        let delimiter = options.delimiter.as_bytes().first().copied().unwrap_or(b',');
        let names = match &options.header {
            Header::Names(names) => Some(prefixes(names)),
            Header::First(_) => None,
        };
        Self {
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            types: options.types,
            limit,
            names,
            pending: BytesMut::new(),
            at: 0,
            line: 1,
            record: Record::default(),
            oversized: None,
        }
    }

    /// The same names, going on behind a record, where `line` begins.
    pub(crate) fn resumed(self, line: Option<u64>) -> Self {
        let mut parser = csv_core::ReaderBuilder::new().delimiter(self.delimiter).build();
        let line = line.unwrap_or(1);
        parser.set_line(line);
        let record = Record::default();
        Self { parser, line, record, pending: BytesMut::new(), at: 0, oversized: None, ..self }
    }

    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.pending
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn needs_header(&self) -> bool {
        self.names.is_none()
    }

    /// Reads the header from what is pending, if there is enough. Returns the number of bytes that settles.
    pub(crate) fn read_header(&mut self) -> Result<u64, String> {
        let parsed = self.parse(false);
        if self.at > self.limit {
            return Err(format!("the header is over the limit of {}", Size(self.limit as u64)));
        }
        if !parsed {
            return Ok(0);
        }
        let fields = self.record.fields().map(|field| std::str::from_utf8(field).map(str::to_owned));
        let names: Vec<String> =
            fields.collect::<Result<_, _>>().map_err(|_| "the header is not UTF-8".to_owned())?;
        check_names(&names)?;
        self.names = Some(prefixes(&names));
        let length = self.at;
        self.next_record(0);
        drop(self.pending.split_to(length));
        self.at = 0;
        Ok(length as u64)
    }

    pub(crate) fn cut(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        let mut settled = 0;
        if self.needs_header() {
            settled = self.read_header()?;
            if self.needs_header() {
                return Ok(0);
            }
        }
        let mut made = Made::default();
        let mut start = 0;
        while builder.len() + made.spans.len() < BATCH_EVENTS
            && builder.bytes() + made.json.len() < BATCH_BYTES
            && self.parse(false)
        {
            self.take(start, &mut made, rejected);
            start = self.at;
        }
        made.put(builder);
        drop(self.pending.split_to(start));
        self.at -= start;
        settled += start as u64;
        if start == 0 && self.at > self.limit {
            settled += self.let_pass();
        }
        Ok(settled)
    }

    /// At the end of the file the last record needs no line end.
    pub(crate) fn finish(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        let settled = self.pending.len() as u64;
        if self.needs_header() {
            // A file that ends with its header has no records.
            self.pending.clear();
            self.at = 0;
            return Ok(settled);
        }
        if self.parse(true) {
            let mut made = Made::default();
            self.take(0, &mut made, rejected);
            made.put(builder);
        }
        self.pending.clear();
        self.at = 0;
        Ok(settled)
    }

    /// Parses up to the end of a record. False if more must be read; at the `end` of the file, if there is
    /// none.
    fn parse(&mut self, end: bool) -> bool {
        use csv_core::ReadRecordResult::{End, InputEmpty, OutputEndsFull, OutputFull, Record};
        loop {
            let rest = &self.pending[self.at..];
            if rest.is_empty() && !end {
                return false;
            }
            let record = &mut self.record;
            let (result, read, written, ends) = self.parser.read_record(
                rest,
                &mut record.text[record.length..],
                &mut record.ends[record.fields..],
            );
            self.at += read;
            record.length += written;
            record.fields += ends;
            match result {
                Record => return true,
                End => return false,
                InputEmpty => {}
                OutputFull => record.grow_text(self.limit),
                OutputEndsFull => record.grow_ends(),
            }
        }
    }

    /// The record that was parsed, which began at `start` of what is pending, to an event or a rejection.
    fn take(&mut self, start: usize, made: &mut Made, rejected: &mut Vec<SourceRejection>) {
        let raw = &self.pending[start..self.at];
        let front = self.oversized.as_ref().map_or(raw, |(head, _)| head);
        let line = self.line + blank_lines(front);
        let too_long = self.oversized.is_some() || self.record.overflowed || raw.len() > self.limit;
        let outcome = if too_long {
            let (head, passed) = self.oversized.take().unwrap_or_else(|| (head(raw), 0));
            let length = passed + raw.len() as u64;
            let limit = Size(self.limit as u64);
            let reason = format!(
                "the record at line {line}, of {}, is over the limit of {limit}; only its head is kept",
                Size(length)
            );
            Err(SourceRejection { payload: head, length, reason })
        } else {
            self.write_json(made).map_err(|reason| {
                let raw = raw.trim_ascii();
                let payload = Bytes::copy_from_slice(raw);
                SourceRejection {
                    length: raw.len() as u64,
                    payload,
                    reason: format!("line {line}: {reason}"),
                }
            })
        };
        match outcome {
            Ok(()) => {}
            Err(rejection) => rejected.push(rejection),
        }
        self.next_record(start);
    }

    /// Makes ready for the record behind the one that was parsed.
    fn next_record(&mut self, start: usize) {
        debug_assert!(start <= self.at);
        self.line = self.parser.line();
        self.record.length = 0;
        self.record.fields = 0;
        self.record.overflowed = false;
    }

    /// Appends the record as a JSON object.
    fn write_json(&self, made: &mut Made) -> Result<(), String> {
        let names = self.names.as_deref().unwrap_or_default();
        if self.record.fields != names.len() {
            return Err(format!(
                "the record has {} fields, but there are {} names",
                self.record.fields,
                names.len()
            ));
        }
        let start = made.json.len();
        for (name, field) in names.iter().zip(self.record.fields()) {
            made.json.extend_from_slice(name);
            if self.types && (is_number(field) || field == b"true" || field == b"false") {
                made.json.extend_from_slice(field);
                continue;
            }
            let written =
                std::str::from_utf8(field).map_err(|_| "a field is not UTF-8".to_owned()).and_then(|text| {
                    serde_json::to_writer(&mut made.json, text).map_err(|error| error.to_string())
                });
            if let Err(reason) = written {
                made.json.truncate(start);
                return Err(reason);
            }
        }
        made.json.push(b'}');
        let length = made.json.len() - start;
        if length > self.limit {
            made.json.truncate(start);
            return Err(format!("as JSON it is over the limit of {}", Size(self.limit as u64)));
        }
        made.spans.push((start as u32, length as u32));
        Ok(())
    }

    /// What has been parsed of a record over the limit goes by. Returns the number of bytes.
    fn let_pass(&mut self) -> u64 {
        let passed = self.pending.split_to(self.at);
        self.at = 0;
        self.oversized.get_or_insert_with(|| (head(&passed), 0)).1 += passed.len() as u64;
        passed.len() as u64
    }
}

/// The JSON of one batch.
#[derive(Default)]
struct Made {
    json: Vec<u8>,
    spans: Vec<(u32, u32)>,
}

impl Made {
    fn put(self, builder: &mut BatchBuilder) {
        if self.spans.is_empty() {
            return;
        }
        let buffer = builder.add_buffer(self.json.into());
        for (offset, length) in self.spans {
            builder.push_span(Span { buffer, offset, length });
        }
    }
}

impl Record {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends[..self.fields].iter().map(move |end| &self.text[std::mem::replace(&mut start, *end)..*end])
    }

    fn grow_text(&mut self, limit: usize) {
        if self.text.len() > limit {
            // It will be rejected for its size, so its text is not needed.
            self.overflowed = true;
            self.length = 0;
        } else {
            self.text.resize((self.text.len() * 2).max(KEPT), 0);
        }
    }

    fn grow_ends(&mut self) {
        if self.ends.len() >= FIELDS {
            self.overflowed = true;
            self.fields = 0;
        } else {
            self.ends.resize((self.ends.len() * 2).max(64), 0);
        }
    }
}

/// What is wrong with these names of fields.
pub(crate) fn check_names(names: &[String]) -> Result<(), String> {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two fields are named `{}`", pair[0])),
        None => Ok(()),
    }
}

fn prefixes(names: &[String]) -> Vec<Vec<u8>> {
    let prefix = |(index, name): (usize, &String)| {
        let opening = if index == 0 { '{' } else { ',' };
        format!("{opening}{}:", serde_json::Value::from(name.as_str())).into_bytes()
    };
    names.iter().enumerate().map(prefix).collect()
}

fn head(raw: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&raw[..raw.len().min(KEPT)])
}

/// How many line ends stand before the record itself: of blank lines, and the `\n` of the `\r\n` before it.
fn blank_lines(raw: &[u8]) -> u64 {
    let before = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    before.filter(|byte| **byte == b'\n').count() as u64
}

/// Whether the field is a number as JSON writes it (RFC 8259, section 6).
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
