//! A request body into which the page and the cursor are inserted.

use bytes::Bytes;
use serde_json::{Map, Value};
use tidegate_sdk::ConfigError;

/// A JSON body. Inserted values have JSON pointers.
#[derive(Clone, Debug)]
pub(super) struct Body(Value);

impl Body {
    /// Parses the option `body`, for the option at `pointer` that inserts a value.
    pub(super) fn new(body: Option<&str>, pointer: &str) -> Result<Self, ConfigError> {
        let body = body.unwrap_or("{}");
        match serde_json::from_str(body) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            _ => Err(ConfigError::at(
                pointer,
                "the request has no JSON object as its `body` to put the value into",
            )
            .help(
                "write the body as a JSON object, or leave `body_path` out: then the query carries the value",
            )),
        }
    }

    /// Returns the body with these values.
    pub(super) fn with(&self, since: Option<(&str, &str)>, page: Option<(&str, Value)>) -> Bytes {
        let mut body = self.0.clone();
        if let Some((pointer, value)) = since {
            put(&mut body, pointer, Value::String(value.to_owned()));
        }
        if let Some((pointer, value)) = page {
            put(&mut body, pointer, value);
        }
        body.to_string().into()
    }
}

/// Sets the value at `pointer`. Anything on the way that is not an object becomes one.
fn put(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(members) = at else { return };
        at = members.entry(name).or_insert(Value::Null);
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_where_they_belong() {
        let body = Body::new(Some(r#"{"query":"{a}","variables":{"first":10}}"#), "").unwrap();
        let with = body.with(Some(("/variables/since", "7")), Some(("/variables/after", "x\"y".into())));
        let expected = r#"{"query":"{a}","variables":{"first":10,"since":"7","after":"x\"y"}}"#;
        assert_eq!(with, expected);
        let with = Body::new(None, "").unwrap().with(None, Some(("/a~1b/c", 3.into())));
        assert_eq!(with, r#"{"a/b":{"c":3}}"#);
        for refused in ["[1]", "text", "7"] {
            let error = Body::new(Some(refused), "/pagination/body_path").unwrap_err();
            assert!(error.help.is_some() && error.pointer == "/pagination/body_path");
        }
    }
}
