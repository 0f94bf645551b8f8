//! Lossless text of paths: a path is bytes, and a partition is text.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Returns the text of `path`. A path in UTF-8 is its own text. In another one, each byte that is not UTF-8 becomes `\xHH`
/// and each backslash two; so they do in a path in UTF-8 that looks like such a text.
pub(crate) fn shown(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !looks_escaped(bytes) => text.to_owned(),
        _ => escape(bytes),
    }
}

/// Returns the path that [`shown`] made this text of.
pub(crate) fn path_of(shown: &str) -> PathBuf {
    let bytes = shown.as_bytes();
    if !looks_escaped(bytes) {
        return shown.into();
    }
    let mut path = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' && bytes.get(at + 1) == Some(&b'\\') {
            path.push(b'\\');
            at += 2;
        } else if let Some(byte) = escaped(&bytes[at..]) {
            path.push(byte);
            at += 4;
        } else {
            path.push(bytes[at]);
            at += 1;
        }
    }
    OsString::from_vec(path).into()
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text += &chunk.valid().replace('\\', "\\\\");
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

fn looks_escaped(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|four| escaped(four).is_some())
}

/// Returns the byte that `\xHH` at the front stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = bytes else { return None };
    let digit = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_kept_and_other_bytes_are_escaped() {
        let shown_of = |bytes: &[u8]| shown(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(shown_of("a/\u{e4}\\b.log".as_bytes()), "a/\u{e4}\\b.log");
        assert_eq!(shown_of(b"a/\xff\\b"), "a/\\xff\\\\b");
        assert_eq!(shown_of(b"a/\\xff"), "a/\\\\xff", "never the same text as of another path");
    }

    proptest! {
        #[test]
        fn every_path_is_parsed_back(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\\'), Just(b'x'), Just(b'f'), Just(b'0'), 1..=255u8], 0..12)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(path_of(&shown(&path)), path);
        }

        #[test]
        fn different_paths_have_different_names(one in "[\\\\xf0]{0,8}", other in "[\\\\xf0]{0,8}") {
            let same = shown(Path::new(&one)) == shown(Path::new(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
