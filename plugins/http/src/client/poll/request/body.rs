//! A request body into which the page and the cursor are inserted, by a JSON pointer or in place of a text that is a
//! placeholder.

use bytes::Bytes;
use serde_json::{Map, Value};
use tidegate_sdk::ConfigError;

use super::text::{Placeholder, Text, Values};

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

    /// Returns the placeholders in it. Only a whole text is one, so that a query language with braces stays as it is.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        let mut found = Vec::new();
        visit(&self.0, &mut found);
        found.into_iter()
    }

    /// Returns the body with these values.
    pub(super) fn with(&self, values: &Values, inserted: &[(&str, Value)]) -> Bytes {
        let mut body = self.0.clone();
        fill(&mut body, values);
        for (pointer, value) in inserted {
            put(&mut body, pointer, value.clone());
        }
        body.to_string().into()
    }
}

fn visit(value: &Value, found: &mut Vec<Placeholder>) {
    match value {
        Value::String(text) => found.extend(Text::only(text)),
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, found)),
        Value::Object(members) => members.values().for_each(|member| visit(member, found)),
        _ => {}
    }
}

/// Replaces placeholders. One without a value becomes null.
fn fill(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => {
            if let Some(placeholder) = Text::only(text) {
                *value = values.json(placeholder);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| fill(element, values)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, values)),
        _ => {}
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
        let none = Values::default();
        let with = body.with(&none, &[("/variables/since", "7".into()), ("/variables/after", "x\"y".into())]);
        let expected = r#"{"query":"{a}","variables":{"first":10,"since":"7","after":"x\"y"}}"#;
        assert_eq!(with, expected);
        let with = Body::new(None, "").unwrap().with(&none, &[("/a~1b/c", 3.into())]);
        assert_eq!(with, r#"{"a/b":{"c":3}}"#);
        let body = Body::new(Some(r#"{"q":"{cursor}","n":["{page}",{"x":"a {cursor}"}]}"#), "").unwrap();
        let values = Values { cursor: vec!["c".into()], ..Values::default() };
        assert_eq!(body.with(&values, &[]), r#"{"q":"c","n":[null,{"x":"a {cursor}"}]}"#);
        for refused in ["[1]", "text", "7"] {
            let error = Body::new(Some(refused), "/pagination/body_path").unwrap_err();
            assert!(error.help.is_some() && error.pointer == "/pagination/body_path");
        }
    }
}
