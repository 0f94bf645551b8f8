//! Records of a CSV file as JSON objects.

mod write;

use bytes::{Bytes, BytesMut};
use tidegate_sdk::framing::{CsvReader, CsvStep};
use tidegate_sdk::{BATCH_BYTES, BATCH_EVENTS, BatchBuilder, Size, SourceRejection};

use super::options::{CsvOptions, Header, check_names};
use write::{Made, Names};

#[cfg(test)]
mod tests;

/// Bytes of a line over the limit that are kept in its dead letter.
const KEPT: usize = 4096;

/// Framing that cuts a stream of CSV into JSON objects. It holds one record and the bytes that were read with it. Its use is
/// that of [`tidegate_sdk::framing::Lines`].
///
/// Of a record that is malformed, or longer than the limit, only the first line is rejected, and reading continues after
/// it. So a quote that is never closed harms no other record. Each byte is read a small number of times, because a
/// line with an odd number of quotes closes the quote that is open before it.
pub(crate) struct Records {
    reader: CsvReader,
    delimiter: u8,
    limit: usize,
    types: bool,
    /// `None` until the header has been read.
    names: Option<Names>,
    pending: BytesMut,
    /// Number of the line that `pending` begins with, counted from 1.
    line: u64,
    /// Defect of the record at the front of `pending`, whose first line is not read to its end yet.
    defect: Option<String>,
    /// Head and length of a line over the limit that is being skipped.
    oversized: Option<(Bytes, u64)>,
}

impl Records {
    pub(crate) fn new(options: &CsvOptions, limit: usize) -> Self {
        let delimiter = options.delimiter.as_bytes().first().copied().unwrap_or(b',');
        let names = match &options.header {
            Header::Names(names) => Some(Names::new(names)),
            Header::First(_) => None,
        };
        Self {
            reader: CsvReader::new(delimiter),
            delimiter,
            limit,
            types: options.types,
            names,
            pending: BytesMut::new(),
            line: 1,
            defect: None,
            oversized: None,
        }
    }

    /// Keeps the names, and continues after a record, at `line`.
    pub(crate) fn resumed(self, line: Option<u64>) -> Self {
        Self {
            reader: CsvReader::new(self.delimiter),
            line: line.unwrap_or(1),
            pending: BytesMut::new(),
            defect: None,
            oversized: None,
            ..self
        }
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

    /// Tells whether a line over the limit is being skipped: its beginning is consumed, its end is not.
    pub(crate) fn is_within(&self) -> bool {
        self.oversized.is_some()
    }

    /// Reads the header, if it is there as a whole. Returns the number of bytes that are consumed.
    pub(crate) fn read_header(&mut self) -> Result<u64, String> {
        let blank = CsvReader::blank(&self.pending);
        if self.pending[blank..] == *b"\r" {
            return Ok(0);
        }
        let length = match self.reader.read(&self.pending[blank..], false) {
            CsvStep::More if self.pending.len() - blank <= self.limit => return Ok(0),
            CsvStep::Record { length } if trimmed(&self.pending[blank..blank + length]) <= self.limit => {
                length
            }
            CsvStep::Malformed { at, reason } => {
                return Err(format!("the header is malformed at byte {at}: {reason}"));
            }
            _ => return Err(format!("the header is over the limit of {}", Size(self.limit as u64))),
        };
        let names = self.reader.fields(&self.pending[blank..]);
        let names = names.map(|name| String::from_utf8(name.into_owned()));
        let names: Vec<String> =
            names.collect::<Result<_, _>>().map_err(|_| "the header is not UTF-8".to_owned())?;
        check_names(&names)?;
        self.names = Some(Names::new(&names));
        self.pass(blank + length);
        Ok((blank + length) as u64)
    }

    pub(crate) fn cut(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        self.cut_records(builder, rejected, false)
    }

    /// Cuts the rest at the end of the file, where the last record needs no line end.
    pub(crate) fn finish(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        let mut consumed = 0;
        if self.needs_header() {
            // A file that ends with its header has no records.
            consumed = self.pending.len() as u64;
            self.pending.clear();
        }
        while !self.pending.is_empty() || self.oversized.is_some() {
            consumed += self.cut_records(builder, rejected, true)?;
        }
        Ok(consumed)
    }

    fn cut_records(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
        end: bool,
    ) -> Result<u64, String> {
        let mut consumed = 0;
        if self.needs_header() {
            consumed = self.read_header()?;
            if self.needs_header() {
                return Ok(0);
            }
        }
        consumed += self.skip_oversized(rejected, end);
        let mut made = Made::default();
        let mut start = 0;
        while builder.len() + made.len() < BATCH_EVENTS && builder.bytes() + made.bytes() < BATCH_BYTES {
            let blank = CsvReader::blank(&self.pending[start..]);
            self.line += count_lines(&self.pending[start..start + blank]);
            start += blank;
            let rest = &self.pending[start..];
            if matches!(rest, b"" | b"\r") {
                // The second half of a line end may follow.
                start += if end { rest.len() } else { 0 };
                break;
            }
            match self.record(start, end) {
                Some(Ok(length)) => {
                    self.take(start..start + length, &mut made, rejected);
                    start += length;
                }
                Some(Err(defect)) => match self.reject_line(start, defect, end) {
                    Some((length, rejection)) => {
                        rejected.push(rejection);
                        start += length;
                    }
                    None => break,
                },
                None => break,
            }
        }
        made.put(builder);
        drop(self.pending.split_to(start));
        consumed += start as u64;
        // Only if nothing was cut: the end of what is consumed together with records is a position to resume from.
        if consumed == 0 && self.defect.is_some() && self.pending.len() > self.limit + 1 {
            consumed += self.begin_to_skip();
        }
        Ok(consumed)
    }

    /// Returns the length of the pending record at `start`, or its defect. `None` if more must be read.
    fn record(&mut self, start: usize, end: bool) -> Option<Result<usize, String>> {
        if let Some(defect) = self.defect.take() {
            return Some(Err(defect));
        }
        let rest = &self.pending[start..];
        // A record is over the limit if it is longer by a line end and one byte.
        let text = &rest[..rest.len().min(self.limit + 2)];
        let over = || {
            let limit = Size(self.limit as u64);
            format!(
                "the record is over the limit of {limit}; if a quote opens in this line, nothing closes it before"
            )
        };
        match self.reader.read(text, end && text.len() == rest.len()) {
            CsvStep::Record { length } if trimmed(&text[..length]) <= self.limit => Some(Ok(length)),
            CsvStep::More if text.len() < self.limit + 2 && trimmed(text) <= self.limit => None,
            CsvStep::Record { .. } | CsvStep::More => Some(Err(over())),
            CsvStep::Malformed { at, reason } => Some(Err(format!("{reason} (byte {at} of the record)"))),
        }
    }

    /// Rejects the pending line at `start`. `None` if its end is not read yet.
    fn reject_line(&mut self, start: usize, defect: String, end: bool) -> Option<(usize, SourceRejection)> {
        let rest = &self.pending[start..];
        let length = match memchr::memchr(b'\n', rest) {
            Some(line_end) => line_end + 1,
            None if end => rest.len(),
            None => {
                self.defect = Some(defect);
                return None;
            }
        };
        let line = &rest[..trimmed(&rest[..length])];
        let rejection = if line.len() > self.limit {
            over_the_limit(head(line), line.len() as u64, self.line, self.limit)
        } else {
            SourceRejection {
                payload: Bytes::copy_from_slice(line),
                length: line.len() as u64,
                reason: format!("line {}: {defect}", self.line),
            }
        };
        self.line += 1;
        self.reader.reset();
        Some((length, rejection))
    }

    /// Turns the pending record at `range` into an event or a rejection.
    fn take(&mut self, range: std::ops::Range<usize>, made: &mut Made, rejected: &mut Vec<SourceRejection>) {
        let raw = &self.pending[range];
        let lines = if self.reader.has_quotes() { count_lines(raw).max(1) } else { 1 };
        if let Some(names) = &self.names
            && let Err(reason) = made.write(names, &self.reader, raw, self.types, self.limit)
        {
            let raw = &raw[..trimmed(raw)];
            let payload = Bytes::copy_from_slice(raw);
            let reason = format!("line {}: {reason}", self.line);
            rejected.push(SourceRejection { length: raw.len() as u64, payload, reason });
        }
        self.line += lines;
        self.reader.reset();
    }

    /// Consumes the first `length` pending bytes: a record with the empty lines before it.
    fn pass(&mut self, length: usize) {
        self.line += count_lines(&self.pending[..length]);
        drop(self.pending.split_to(length));
        self.reader.reset();
    }

    /// Skips the pending part of a line over the limit. Returns the number of bytes.
    fn begin_to_skip(&mut self) -> u64 {
        self.defect = None;
        self.reader.reset();
        let passed = self.pending.split_to(without_return(&self.pending));
        self.oversized = Some((head(&passed), passed.len() as u64));
        passed.len() as u64
    }

    /// Skips the rest of a line over the limit. Returns the number of bytes.
    fn skip_oversized(&mut self, rejected: &mut Vec<SourceRejection>, end: bool) -> u64 {
        let Some((_, passed)) = &mut self.oversized else { return 0 };
        let line_end = memchr::memchr(b'\n', &self.pending);
        let rest = self.pending.split_to(match line_end {
            Some(line_end) => line_end + 1,
            None if end => self.pending.len(),
            None => without_return(&self.pending),
        });
        let is_last = line_end.is_some() || end;
        *passed += if is_last { trimmed(&rest) } else { rest.len() } as u64;
        if is_last {
            if let Some((head, length)) = self.oversized.take() {
                rejected.push(over_the_limit(head, length, self.line, self.limit));
            }
            self.line += 1;
        }
        rest.len() as u64
    }
}

fn over_the_limit(head: Bytes, length: u64, line: u64, limit: usize) -> SourceRejection {
    let limit = Size(limit as u64);
    let reason = format!(
        "the record at line {line}, of {}, is over the limit of {limit}; only its head is kept",
        Size(length)
    );
    SourceRejection { payload: head, length, reason }
}

fn head(raw: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&raw[..raw.len().min(KEPT)])
}

/// Returns the length of `line` without its line end. A `\r` at its end may be half of one.
fn trimmed(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.len() - usize::from(line.ends_with(b"\r"))
}

/// Returns the length of `text` without a `\r` at its end, which may be half of a line end.
fn without_return(text: &[u8]) -> usize {
    text.len() - usize::from(text.ends_with(b"\r"))
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
