//! Finds the place of a part of a text value in the file, between its quotes and among its escapes.

use std::ops::Range;

/// The bytes of `literal` (a TOML string with its quotes) that make the bytes `range` of its value.
pub(crate) fn place(literal: &str, range: Range<usize>) -> Range<usize> {
    let Some(body) = Body::of(literal) else { return 0..literal.len() };
    let mut start = None;
    let mut value = 0;
    for (at, written, made) in body {
        if start.is_none() && range.start < value + made {
            start = Some(at);
        }
        if range.end <= value + made && (range.end > range.start || start.is_some()) {
            let start = start.unwrap_or(at);
            return start..if range.is_empty() { start } else { at + written };
        }
        value += made;
    }
    // A place after the last character, such as the end of an incomplete query, is the closing quote.
    let end = body_end(literal);
    start.unwrap_or(end)..end.max(start.unwrap_or(end))
}

/// The start of the closing quotes.
fn body_end(literal: &str) -> usize {
    Body::of(literal).map_or(literal.len(), |body| body.end)
}

/// The pieces of a string between its quotes: each a character, an escape, or a trimmed line break.
struct Body<'a> {
    literal: &'a str,
    at: usize,
    end: usize,
    escapes: bool,
}

impl<'a> Body<'a> {
    fn of(literal: &'a str) -> Option<Self> {
        let (quotes, escapes) = match literal {
            _ if literal.starts_with("\"\"\"") && literal.len() >= 6 => (3, true),
            _ if literal.starts_with("'''") && literal.len() >= 6 => (3, false),
            _ if literal.starts_with('"') && literal.len() >= 2 => (1, true),
            _ if literal.starts_with('\'') && literal.len() >= 2 => (1, false),
            _ => return None,
        };
        let end = literal.len() - quotes;
        let first = literal.get(quotes..end)?;
        // The first line break of a multi-line string does not belong to its value.
        let skipped = match quotes {
            3 if first.starts_with("\r\n") => 2,
            3 if first.starts_with('\n') => 1,
            _ => 0,
        };
        Some(Self { literal, at: quotes + skipped, end, escapes })
    }
}

impl Iterator for Body<'_> {
    /// The offset of the piece, its bytes in the file, and its bytes in the value.
    type Item = (usize, usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.literal.get(self.at..self.end)?;
        let first = rest.chars().next()?;
        let (written, made) = match first {
            '\\' if self.escapes => escape(rest),
            _ => (first.len_utf8(), first.len_utf8()),
        };
        let at = self.at;
        self.at += written.max(1);
        Some((at, written, made))
    }
}

/// The bytes of the escape at the start of `text`, in the file and in the value.
fn escape(text: &str) -> (usize, usize) {
    let digits = match text.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let rest = text[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            return (text.len() - rest.len(), 0);
        }
        _ => return (text.chars().take(2).map(char::len_utf8).sum(), 1),
    };
    let number = text.get(2..2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match number.and_then(char::from_u32) {
        Some(made) => (2 + digits, made.len_utf8()),
        None => (2, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    fn shown(literal: &str, part: &str, value: &str) -> String {
        let at = value.find(part).unwrap();
        literal[place(literal, at..at + part.len())].to_owned()
    }

    #[test]
    fn every_kind_of_string() {
        assert_eq!(shown(r#""a bad b""#, "bad", "a bad b"), "bad");
        assert_eq!(shown(r"'a \bad b'", r"\bad", r"a \bad b"), r"\bad");
        assert_eq!(shown(r#""a \"bad\" b""#, "\"bad\"", "a \"bad\" b"), r#"\"bad\""#);
        assert_eq!(shown(r#""\u00e4\t bad""#, "bad", "ä\t bad"), "bad");
        assert_eq!(shown(r#""\u00e4x""#, "ä", "äx"), r"\u00e4");
        assert_eq!(shown("'''\nline\n bad'''", "bad", "line\n bad"), "bad");
        assert_eq!(shown("\"\"\"\r\none \\\n   bad\"\"\"", "bad", "one bad"), "bad");
        assert_eq!(shown("'ö bad'", "bad", "ö bad"), "bad");
    }

    #[test]
    fn the_end_is_the_closing_quote() {
        assert_eq!(place("'abc'", 3..3), 4..4);
        assert_eq!(place("'abc'", 3..9), 4..4);
        assert_eq!(place("''", 0..0), 1..1);
        assert_eq!(place("\"\"\"\nab\"\"\"", 2..2), 6..6);
        assert_eq!(place("'abc'", 1..1), 2..2);
    }
}
