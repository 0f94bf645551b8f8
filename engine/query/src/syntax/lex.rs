//! The words of a query.

use std::ops::Range;

use super::Problem;

/// A word, and its place.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) span: Range<usize>,
}

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name,
    /// `.name`
    Field,
    /// `$name`
    Variable,
    /// `@name`
    Format,
    Number,
    /// `"`
    Quote,
    /// A sign of one to three characters.
    Sign,
    End,
}

/// Signs, each before those that it begins with.
const SIGNS: [&str; 33] = [
    "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "//", "..", "(", ")", "[", "]",
    "{", "}", "|", ",", ":", ";", "?", "=", "<", ">", "+", "-", "*", "/", "%",
];

/// The word that begins at or after `at`.
pub(super) fn next(text: &str, at: usize) -> Result<Token, Problem> {
    let start = skip_space(text, at);
    let rest = &text.as_bytes()[start..];
    let token = |word, length: usize| Ok(Token { word, span: start..start + length });
    let Some(first) = rest.first() else { return token(Word::End, 0) };
    let second = rest.get(1).copied().unwrap_or(0);
    match first {
        b'"' => token(Word::Quote, 1),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => token(Word::Name, path_length(rest)),
        b'$' if is_name_start(second) => token(Word::Variable, 1 + path_length(&rest[1..])),
        b'$' if is_name_start(
            text.as_bytes()[skip_space(text, start + 1)..].first().copied().unwrap_or(0),
        ) =>
        {
            let name = skip_space(text, start + 1);
            token(Word::Variable, name - start + path_length(&text.as_bytes()[name..]))
        }
        b'@' if second.is_ascii_alphanumeric() || second == b'_' => {
            token(Word::Format, 1 + name_length(&rest[1..]))
        }
        b'.' if is_name_start(second) => token(Word::Field, 1 + name_length(&rest[1..])),
        b'.' if second.is_ascii_digit() => token(Word::Number, number_length(rest)),
        b'0'..=b'9' => token(Word::Number, number_length(rest)),
        _ => match SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
            Some(sign) => token(Word::Sign, sign.len()),
            None if *first == b'.' => token(Word::Sign, 1),
            None => {
                let length = text[start..].chars().next().map_or(1, char::len_utf8);
                let shown: String = text[start..].chars().take(20).collect();
                let message = format!("`{}` means nothing here", shown.trim_end());
                Err(Problem::new(start..start + length, message))
            }
        },
    }
}

/// The end of the white space and comments that begin at `at`.
pub(super) fn skip_space(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') => {
                // A comment goes on after a line break that follows an odd number of backslashes.
                let mut odd = false;
                while let Some(byte) = bytes.get(at) {
                    let ends = *byte == b'\n' && !odd;
                    let skipped = *byte == b'\r' && bytes.get(at + 1) == Some(&b'\n') && odd;
                    if ends {
                        break;
                    }
                    odd = skipped || (*byte == b'\\' && !odd);
                    at += 1;
                }
            }
            _ => return at,
        }
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn name_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// The length of a name with the names of modules before it.
fn path_length(bytes: &[u8]) -> usize {
    let mut length = name_length(bytes);
    while bytes[length..].starts_with(b"::") && bytes.get(length + 2).is_some_and(|byte| is_name_start(*byte))
    {
        length += 2 + name_length(&bytes[length + 2..]);
    }
    length
}

fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits((length + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}
