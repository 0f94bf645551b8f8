//! Records of comma-separated values.

use std::borrow::Cow;

/// The limit for the fields of a record.
const FIELDS: usize = 1 << 16;

/// Reads records of comma-separated values, one by one, from text that may come in pieces.
///
/// The format is that of RFC 4180, and these are its edges:
///
/// - A record ends at `\n` or `\r\n`, or at the end of the input. A `\r` alone, outside of quotes, is malformed.
/// - A field that begins with `"` is quoted. In it delimiters and line breaks are text, and `""` stands for `"`. After
///   its closing quote comes a delimiter or the end of the record; anything else is malformed.
/// - A field that does not begin with `"` has no `"` in it. White space is a part of a field.
/// - An empty field and a quoted field without text are both empty text.
/// - An empty line is no record; [`blank`](Self::blank) finds it.
///
/// ```
/// use tidegate_sdk::framing::{CsvReader, CsvStep};
/// let (mut reader, text) = (CsvReader::new(b','), b"1,\"a \"\"b\"\"\"\n2");
/// assert_eq!(reader.read(text, false), CsvStep::Record { length: 12 });
/// assert_eq!(reader.fields(text).collect::<Vec<_>>(), [&b"1"[..], b"a \"b\""]);
/// ```
#[derive(Clone, Debug)]
pub struct CsvReader {
    delimiter: u8,
    /// The number of bytes of the record that have been read.
    at: usize,
    state: State,
    fields: Vec<Field>,
}

/// The outcome of [`CsvReader::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsvStep {
    /// The record continues after the text.
    More,
    /// The record is complete. With its line end it has this many bytes.
    Record {
        /// The length, with the line end.
        length: usize,
    },
    /// The record is malformed.
    Malformed {
        /// The byte of the record where it is.
        at: usize,
        /// The defect.
        reason: &'static str,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A field begins.
    Start,
    /// Within a field without quotes that began there.
    Plain(usize),
    /// Within a quoted field that began there.
    Quoted(usize, Quotes),
    /// After the closing quote of a field.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    Around,
    /// There are doubled quotes in the text too.
    Within,
}

/// The text of a field, without the quotes around it.
#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    end: usize,
    quotes: Quotes,
}

impl CsvReader {
    /// A reader at the beginning of a record, whose fields are separated by `delimiter`.
    pub fn new(delimiter: u8) -> Self {
        Self { delimiter, at: 0, state: State::Start, fields: Vec::new() }
    }

    /// The length of the empty lines that `text` begins with.
    pub fn blank(text: &[u8]) -> usize {
        let mut length = 0;
        loop {
            length += match text[length..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return length,
            };
        }
    }

    /// Reads the record at the start of `text` further, which was read before only as far as it was there. If this is
    /// the `end` of the input, the record needs no line end.
    pub fn read(&mut self, text: &[u8], end: bool) -> CsvStep {
        loop {
            let next = text.get(self.at).copied();
            let malformed = |reason| CsvStep::Malformed { at: self.at, reason };
            match (self.state, next) {
                (_, None) if !end => return CsvStep::More,
                (State::Start, Some(b'"')) => {
                    self.at += 1;
                    self.state = State::Quoted(self.at, Quotes::Around);
                }
                (State::Start, _) => self.state = State::Plain(self.at),
                (State::Plain(start), _) => {
                    let special =
                        |byte: &u8| *byte == self.delimiter || matches!(*byte, b'\n' | b'\r' | b'"');
                    let rest = &text[self.at..];
                    self.at += rest.iter().position(special).unwrap_or(rest.len());
                    match text.get(self.at) {
                        None if !end => return CsvStep::More,
                        Some(b'"') => {
                            return CsvStep::Malformed {
                                at: self.at,
                                reason: "a quote stands in a field that does not begin with one",
                            };
                        }
                        _ => {}
                    }
                    if let Some(step) =
                        self.close(text, end, Field { start, end: self.at, quotes: Quotes::None })
                    {
                        return step;
                    }
                }
                (State::Quoted(..), None) => return malformed("the quote of a field is never closed"),
                (State::Quoted(start, quotes), Some(_)) => {
                    let Some(quote) = memchr::memchr(b'"', &text[self.at..]) else {
                        self.at = text.len();
                        continue;
                    };
                    self.at += quote;
                    match text.get(self.at + 1) {
                        Some(b'"') => {
                            self.at += 2;
                            self.state = State::Quoted(start, Quotes::Within);
                        }
                        None if !end => return CsvStep::More,
                        _ => {
                            self.fields.push(Field { start, end: self.at, quotes });
                            self.at += 1;
                            self.state = State::Closed;
                        }
                    }
                }
                (State::Closed, _) => {
                    if let Some(step) = self.separate(text, end) {
                        return step;
                    }
                }
            }
        }
    }

    /// Records a field without quotes, and passes its delimiter or line end.
    fn close(&mut self, text: &[u8], end: bool, field: Field) -> Option<CsvStep> {
        let step = self.separate(text, end);
        if step != Some(CsvStep::More) {
            self.fields.push(field);
        }
        step
    }

    /// Passes the delimiter or the line end after a field. `None` if another field follows.
    fn separate(&mut self, text: &[u8], end: bool) -> Option<CsvStep> {
        let at = self.at;
        Some(match text[at..] {
            [] | [b'\r'] if end => CsvStep::Record { length: text.len() },
            [] | [b'\r'] => CsvStep::More,
            [b'\n', ..] => CsvStep::Record { length: at + 1 },
            [b'\r', b'\n', ..] => CsvStep::Record { length: at + 2 },
            [byte, ..] if byte == self.delimiter && self.fields.len() < FIELDS - 1 => {
                self.at += 1;
                self.state = State::Start;
                return None;
            }
            [byte, ..] if byte == self.delimiter => {
                CsvStep::Malformed { at, reason: "the record has more than 65536 fields" }
            }
            [b'\r', ..] => CsvStep::Malformed {
                at,
                reason: "a carriage return without a line feed stands outside of quotes",
            },
            _ => CsvStep::Malformed { at, reason: "something follows the closing quote of a field" },
        })
    }

    /// The number of fields of the record that was read.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Tells whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Tells whether a field of the record that was read is quoted, so that line breaks may be in it.
    pub fn has_quotes(&self) -> bool {
        self.fields.iter().any(|field| field.quotes != Quotes::None)
    }

    /// The fields of the record that was read from `text`.
    pub fn fields<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.fields.iter().map(|field| {
            let raw = &text[field.start..field.end];
            if field.quotes == Quotes::Within { Cow::Owned(undoubled(raw)) } else { Cow::Borrowed(raw) }
        })
    }

    /// Goes on to the next record.
    pub fn reset(&mut self) {
        (self.at, self.state) = (0, State::Start);
        self.fields.clear();
    }
}

/// The text of a quoted field with one quote in the place of two.
fn undoubled(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        text.extend_from_slice(&rest[..=quote]);
        rest = &rest[(quote + 2).min(rest.len())..];
    }
    text.extend_from_slice(rest);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields of the record at the start of `text`, however it is fed.
    fn read(text: &str) -> Result<(Vec<String>, usize), &'static str> {
        let mut whole = CsvReader::new(b',');
        let step = whole.read(text.as_bytes(), true);
        for piece in [1, 3] {
            let mut fed = CsvReader::new(b',');
            let ends = (0..text.len()).step_by(piece);
            let early =
                ends.map(|end| fed.read(&text.as_bytes()[..end], false)).find(|step| *step != CsvStep::More);
            let fed_step = early.unwrap_or_else(|| fed.read(text.as_bytes(), true));
            assert_eq!(fed_step, step, "{text:?} in pieces of {piece}");
            assert_eq!(
                fed.fields(text.as_bytes()).collect::<Vec<_>>(),
                whole.fields(text.as_bytes()).collect::<Vec<_>>()
            );
        }
        let text_of = |field: Cow<'_, [u8]>| String::from_utf8(field.into_owned()).unwrap();
        match step {
            CsvStep::More => panic!("the end of {text:?} is its end"),
            CsvStep::Record { length } => Ok((whole.fields(text.as_bytes()).map(text_of).collect(), length)),
            CsvStep::Malformed { reason, .. } => Err(reason),
        }
    }

    #[test]
    fn records_are_read_to_their_ends() {
        for (text, fields, length) in [
            ("a,b\nc", &["a", "b"][..], 4),
            ("a,b\r\nc", &["a", "b"], 5),
            ("a,b", &["a", "b"], 3),
            ("a,b\r", &["a", "b"], 4),
            ("", &[""], 0),
            (",\n", &["", ""], 2),
            ("\"\",x\n", &["", "x"], 5),
            ("\"a\nb\r\n,c\"\n", &["a\nb\r\n,c"], 10),
            ("\"a\"\"b\",\"\"\"\"\n", &["a\"b", "\""], 12),
            (" a , b\n", &[" a ", " b"], 7),
        ] {
            let (found, end) = read(text).unwrap();
            assert_eq!(
                (found.as_slice(), end),
                (&fields.iter().map(ToString::to_string).collect::<Vec<_>>()[..], length),
                "{text:?}"
            );
        }
    }

    #[test]
    fn records_against_the_format_are_malformed() {
        for (text, reason) in [
            ("\"a\"x,b\n", "follows the closing quote"),
            ("\"a\" ,b\n", "follows the closing quote"),
            ("a\"b,c\n", "does not begin with one"),
            (" \"a\"\n", "does not begin with one"),
            ("a\rb\n", "carriage return"),
            ("\"a\"\rb\n", "carriage return"),
            ("a,\"b\nc\n", "never closed"),
            ("\"", "never closed"),
            ("\"\"\"", "never closed"),
        ] {
            let actual = read(text).expect_err(text);
            assert!(actual.contains(reason), "{text:?}: {actual}");
        }
        assert!(read(&",".repeat(FIELDS)).unwrap_err().contains("65536"));
        assert_eq!(read(&",".repeat(FIELDS - 1)).unwrap().0.len(), FIELDS);
    }

    #[test]
    fn empty_lines_are_found() {
        assert_eq!(CsvReader::blank(b"\n\r\n\na\n"), 4);
        assert_eq!((CsvReader::blank(b"\ra"), CsvReader::blank(b"\r"), CsvReader::blank(b"")), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn written_fields_are_read_back(
            fields in prop::collection::vec("[ab,\"\r\n é]{0,6}", 1..5), quote_all: bool, end in "\r?\n"
        ) {
            let write = |field: &String| match quote_all || field.contains([',', '"', '\r', '\n']) {
                true => format!("\"{}\"", field.replace('"', "\"\"")),
                false => field.clone(),
            };
            let record = fields.iter().map(write).collect::<Vec<_>>().join(",");
            let (found, length) = read(&format!("{record}{end}x")).unwrap();
            prop_assert_eq!((found, length), (fields, record.len() + end.len()));
        }
    }
}
