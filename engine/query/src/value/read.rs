//! JSON text to a value, strictly. Strings and numbers share the bytes of one copy of the text.

use super::part::Part;
use super::token::{Read, ReadOptions, Reader};
use super::{Array, Object, Text, Val, number, tape};

/// The value that `text` stands for.
///
/// # Errors
/// The place of what is wrong with it, in bytes, and what it is.
pub fn read(text: &str, options: ReadOptions) -> Result<Val, (usize, String)> {
    if !options.nan
        && !options.replace_surrogates
        && let Some(tape) = tape::scan(text, options.depth)
    {
        return Ok(Part::root(Text::document(text.to_owned(), tape)).value());
    }
    // The reader reports what is wrong, and reads texts that are nearly JSON.
    let shared = Text::from(text);
    let mut reader = Reader { text: text.as_bytes(), shared, at: 0, depth: 0, options };
    let value = match reader.next_byte() {
        Some(first) => reader.value(first)?,
        None => return Err((reader.at, "there is no value".to_owned())),
    };
    match reader.next_byte() {
        None => Ok(value),
        Some(_) => reader.fail("something follows the value"),
    }
}

impl Reader<'_> {
    /// The next byte that is not white space. The reader stays before it.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other,
            }
        }
    }

    fn value(&mut self, first: u8) -> Read<Val> {
        match first {
            b'"' => self.string().map(Val::Text),
            b'0'..=b'9' => self.number(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.word("true", Val::Bool(true)),
            b'f' => self.word("false", Val::Bool(false)),
            b'n' | b'N' | b'I' | b'-' if self.options.nan && self.special().is_some() => {
                let (length, number) = self.special().unwrap_or_default();
                self.at += length;
                Ok(Val::Float(number))
            }
            b'n' => self.word("null", Val::Null),
            b'-' => self.number(),
            _ => self.fail("a value is expected"),
        }
    }

    /// A number that JSON does not have, and its length.
    fn special(&self) -> Option<(usize, f64)> {
        let words = [
            ("nan", f64::NAN),
            ("-nan", f64::NAN),
            ("NaN", f64::NAN),
            ("-NaN", f64::NAN),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        let rest = &self.text[self.at..];
        words
            .into_iter()
            .find(|(word, _)| rest.starts_with(word.as_bytes()))
            .map(|(word, value)| (word.len(), value))
    }

    fn word(&mut self, word: &str, value: Val) -> Read<Val> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Val>) -> Read<Val> {
        self.at += 1;
        self.depth += 1;
        if self.depth > self.options.depth {
            return Err((self.at, format!("it is nested deeper than {}", self.options.depth)));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Read<Val> {
        let mut elements = Vec::new();
        let mut next = self.next_byte();
        if next == Some(b']') {
            self.at += 1;
            return Ok(Val::Array(Array::from(elements)));
        }
        loop {
            elements.push(self.value(next.unwrap_or(0))?);
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.fail("`,` or `]` is expected"),
            }
            next = self.next_byte();
        }
        self.at += 1;
        Ok(Val::Array(Array::from(elements)))
    }

    fn object(&mut self) -> Read<Val> {
        let mut members = Vec::new();
        let mut next = self.next_byte();
        if next == Some(b'}') {
            self.at += 1;
            return Ok(Val::Object(Object::default()));
        }
        loop {
            if next != Some(b'"') {
                return self.fail("a name in quotes is expected");
            }
            let name = self.string()?;
            if self.next_byte() != Some(b':') {
                return self.fail("`:` is expected");
            }
            self.at += 1;
            let first = self.next_byte().unwrap_or(0);
            members.push((name, self.value(first)?));
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.fail("`,` or `}` is expected"),
            }
            next = self.next_byte();
        }
        self.at += 1;
        Ok(Val::Object(members.into_iter().collect()))
    }

    fn number(&mut self) -> Read<Val> {
        let start = self.at;
        self.skip_number()?;
        let whole = number::whole(&self.shared[start..self.at]);
        Ok(whole.unwrap_or_else(|| Val::Digits(self.shared.slice(start..self.at))))
    }
}
