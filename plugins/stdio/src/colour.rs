//! JSON in light colours, for a terminal.

use tidegate_sdk::json;

const KEY: &[u8] = b"\x1b[34;1m";
const STRING: &[u8] = b"\x1b[32m";
const NUMBER: &[u8] = b"\x1b[36m";
const WORD: &[u8] = b"\x1b[33m";
const NULL: &[u8] = b"\x1b[2m";
const PLAIN: &[u8] = b"\x1b[0m";

/// Appends `payload` to `out`, with colours if it is JSON.
pub(crate) fn paint(payload: &[u8], out: &mut Vec<u8>) {
    if json::check(payload).is_err() {
        out.extend_from_slice(payload);
        return;
    }
    let mut at = 0;
    while let Some(first) = payload.get(at).copied() {
        let end = at + token_length(&payload[at..]);
        let token = &payload[at..end];
        let colour = match first {
            b'"' if is_key(&payload[end..]) => KEY,
            b'"' => STRING,
            b'-' | b'0'..=b'9' => NUMBER,
            b't' | b'f' => WORD,
            b'n' => NULL,
            _ => {
                out.extend_from_slice(token);
                at = end;
                continue;
            }
        };
        out.extend_from_slice(colour);
        out.extend_from_slice(token);
        out.extend_from_slice(PLAIN);
        at = end;
    }
}

/// Returns the length of the first token of `json`. Each character of punctuation and white space is a token.
fn token_length(json: &[u8]) -> usize {
    match json[0] {
        b'"' => string_length(json),
        b'-' | b'0'..=b'9' | b'a'..=b'z' => {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
            json.iter().take_while(|byte| is_part(byte)).count()
        }
        _ => 1,
    }
}

fn string_length(json: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// Tells whether the string before `rest` is the name of a member.
fn is_key(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(payload: &str) -> String {
        let mut out = Vec::new();
        paint(payload.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_of_token_has_its_colour() {
        let text = painted(r#"{"a:\"": ["b", -1.5e+3, true, null]}"#);
        let want = "{\x1b[34;1m\"a:\\\"\"\x1b[0m: [\x1b[32m\"b\"\x1b[0m, \x1b[36m-1.5e+3\x1b[0m, \
                    \x1b[33mtrue\x1b[0m, \x1b[2mnull\x1b[0m]}";
        assert_eq!(text, want);
    }

    #[test]
    fn text_that_is_not_json_is_not_coloured() {
        for text in ["", "plain words", "{\"a\":", "1 2"] {
            assert_eq!(painted(text), text);
        }
    }
}
