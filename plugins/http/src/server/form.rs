//! Events made of a request without a body, and of forms.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Returns `{"method": .., "path": .., "query": {..}}`. A name that occurs more than once has an array.
pub(super) fn event(method: &str, path: &str, query: &str) -> Bytes {
    let mut values = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        add(&mut values, decoded(name), decoded(value));
    }
    let event = json!({ "method": method, "path": path, "query": values });
    event.to_string().into()
}

/// Returns the fields of a form as an object. A name that occurs more than once has an array.
///
/// # Errors
/// If a field is not UTF-8.
pub(super) fn form(body: &[u8]) -> Result<Bytes, String> {
    let mut values = Map::new();
    for (index, pair) in body.trim_ascii().split(|byte| *byte == b'&').enumerate() {
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        let text = |part| {
            String::from_utf8(unescaped(part))
                .map_err(|_| format!("field {} of the form is not UTF-8", index + 1))
        };
        add(&mut values, text(name)?, text(value)?);
    }
    Ok(Value::Object(values).to_string().into())
}

fn add(values: &mut Map<String, Value>, name: String, value: String) {
    let value = Value::String(value);
    match values.get_mut(&name) {
        None => drop(values.insert(name, value)),
        Some(Value::Array(several)) => several.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Decodes `%` and `+` in a part of a query. Bytes that are not UTF-8 are replaced.
fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&unescaped(text.as_bytes())).into_owned()
}

/// Decodes `%` and `+` in a part of a query or a form.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => bytes.push(b'%'),
            },
            (other, _) => bytes.push(*other),
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_an_object() {
        let event = form(b"name=Ada+L.&age=36&tag=a&tag=b%26c&empty=&flag&&x%3d=%C3%A9\r\n").unwrap();
        let expected = r#"{"name":"Ada L.","age":"36","tag":["a","b&c"],"empty":"","flag":"","x=":"é"}"#;
        let (event, expected): (Value, Value) =
            (serde_json::from_slice(&event).unwrap(), serde_json::from_str(expected).unwrap());
        assert_eq!(event, expected);
        assert_eq!(form(b"a=1&b=%ff").unwrap_err(), "field 2 of the form is not UTF-8");
    }

    #[test]
    fn a_query_becomes_an_object() {
        let event = event("GET", "/a", "x=1&y=a%20b+c&x=%C3%A9&z&%zz=%4&x=3&");
        let expected =
            r#"{"method":"GET","path":"/a","query":{"x":["1","é","3"],"y":"a b c","z":"","%zz":"%4"}}"#;
        assert_eq!(event, expected);
    }
}
