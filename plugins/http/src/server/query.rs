//! The event that a request without a body is.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// `{"method": .., "path": .., "query": {..}}`. A name that comes more than once has an array.
pub(super) fn event(method: &str, path: &str, query: &str) -> Bytes {
    let mut values = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Value::String(decoded(value));
        match values.get_mut(&decoded(name)) {
            None => drop(values.insert(decoded(name), value)),
            Some(Value::Array(several)) => several.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    let event = json!({ "method": method, "path": path, "query": values });
    event.to_string().into()
}

/// A part of a query without its `%` and `+`. Bytes that are not UTF-8 are replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
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
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_an_object() {
        let event = event("GET", "/a", "x=1&y=a%20b+c&x=%C3%A9&z&%zz=%4&x=3&");
        let expected =
            r#"{"method":"GET","path":"/a","query":{"x":["1","é","3"],"y":"a b c","z":"","%zz":"%4"}}"#;
        assert_eq!(event, expected);
    }
}
