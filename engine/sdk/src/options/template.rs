//! Text that renders from an event.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::json::Path;

/// Text with jq paths in braces, such as `user:{.id}`: each brace is replaced by the value it names in the
/// event. `{{` and `}}` stand for the braces themselves.
///
/// A template that uses the event begins with a literal part, so that what comes out of the data stays under
/// it: data alone never chooses a key, a path or a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Path),
}

impl Template {
    /// The text, if it does not use the event.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The literal part that everything rendered begins with.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// The text for the event with this JSON payload.
    ///
    /// # Errors
    /// If the payload is not JSON, or lacks a value that the template uses, or has an object or array there.
    pub fn render(&self, payload: &[u8]) -> Result<Cow<'_, str>, String> {
        self.render_with(payload, |rendered, value| {
            rendered.push_str(value);
            Ok(())
        })
    }

    /// As [`render`](Self::render), where `write` appends each value of the event to what was rendered so
    /// far: for text in which values must be escaped, such as a URL.
    ///
    /// ```
    /// let template: tidegate_sdk::Template = "q={.q}".parse().unwrap();
    /// let rendered = template.render_with(br#"{"q":"a b"}"#, |rendered, value| {
    ///     rendered.push_str(&value.replace(' ', "%20"));
    ///     Ok(())
    /// });
    /// assert_eq!(rendered.unwrap(), "q=a%20b");
    /// ```
    ///
    /// # Errors
    /// As [`render`](Self::render), and those of `write`.
    pub fn render_with(
        &self,
        payload: &[u8],
        mut write: impl FnMut(&mut String, &str) -> Result<(), String>,
    ) -> Result<Cow<'_, str>, String> {
        if let Some(text) = self.as_literal() {
            return Ok(text.into());
        }
        let mut rendered = String::with_capacity(self.text.len() + 16);
        for part in &self.parts {
            match part {
                Part::Literal(text) => rendered.push_str(text),
                Part::Value(path) => match path.find(payload)? {
                    None | Some(b"null") => {
                        return Err(format!("the event has no `{path}`, which `{}` needs", self.text));
                    }
                    Some([b'{' | b'[', ..]) => {
                        return Err(format!(
                            "`{path}` is not a plain value, so `{}` cannot use it",
                            self.text
                        ));
                    }
                    Some(raw) => write(&mut rendered, &crate::json::text(raw))?,
                },
            }
        }
        Ok(rendered.into())
    }

    /// Returns the parts in order: literal text, or `None` for a value of the event.
    pub(crate) fn literals(&self) -> impl Iterator<Item = Option<&str>> {
        self.parts.iter().map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Value(_) => None,
        })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..];
            if let Some(tail) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal.push_str(&brace[..1]);
                rest = tail;
                continue;
            }
            let (path, tail) =
                brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or_else(|| {
                    format!(
                        "`{text}` has a brace without its partner; write a brace itself as `{{{{` or `}}}}`"
                    )
                })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Value(path.parse()?));
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if matches!(parts.first(), Some(Part::Value(_))) {
            return Err(format!(
                "`{text}` begins with data; begin with literal text, under which everything rendered stays: `out/{text}` for a path, `events:{text}` for a key"
            ));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "template".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "template-text" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_values_and_braces() {
        let template: Template = "u:{.id}:{.name}{{x}}".parse().unwrap();
        let rendered = template.render(br#"{"id":7,"name":"a b"}"#).unwrap();
        assert_eq!(rendered, "u:7:a b{x}");
        assert_eq!(template.prefix(), "u:");
        assert_eq!(template.as_literal(), None);
        assert_eq!("plain".parse::<Template>().unwrap().as_literal(), Some("plain"));
    }

    #[test]
    fn an_event_without_the_value_is_refused() {
        let template: Template = "u:{.id}".parse().unwrap();
        assert!(template.render(br#"{"name":"a"}"#).unwrap_err().contains("no `.id`"));
        assert!(template.render(br#"{"id":{}}"#).unwrap_err().contains("not a plain value"));
        assert!(template.render(b"nonsense").unwrap_err().contains("malformed JSON"));
    }

    #[test]
    fn data_never_comes_first() {
        assert!("{.id}:x".parse::<Template>().unwrap_err().contains("begins with data"));
        assert!("a{.id".parse::<Template>().unwrap_err().contains("partner"));
    }
}
