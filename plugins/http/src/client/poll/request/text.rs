//! Text with placeholders: `{cursor}`, `{cursor[1]}`, `{page}`.

use std::fmt;

use crate::client::url_template::percent_encode;

/// The name of a value in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client::poll) enum Placeholder {
    /// A value of the cursor, by its index.
    Cursor(usize),
    /// The page, offset or page cursor.
    Page,
}

/// The values of the placeholders in one request. A missing one leaves out the parameter or header that names it.
#[derive(Clone, Debug, Default)]
pub(in crate::client::poll) struct Values {
    pub(in crate::client::poll) cursor: Vec<String>,
    pub(in crate::client::poll) page: Option<String>,
    /// Set if a JSON body holds the page as a number.
    pub(in crate::client::poll) page_is_number: bool,
}

impl Values {
    /// Returns the value in a JSON body.
    pub(super) fn json(&self, placeholder: Placeholder) -> serde_json::Value {
        let is_number = placeholder == Placeholder::Page && self.page_is_number;
        let Some(text) = self.get(placeholder) else { return serde_json::Value::Null };
        let number = text.parse::<i64>().ok().filter(|_| is_number);
        number.map_or_else(|| text.into(), Into::into)
    }

    fn get(&self, placeholder: Placeholder) -> Option<&str> {
        match placeholder {
            Placeholder::Cursor(index) => self.cursor.get(index).map(String::as_str),
            Placeholder::Page => self.page.as_deref(),
        }
    }
}

impl Placeholder {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "cursor" => Some(Self::Cursor(0)),
            "page" => Some(Self::Page),
            _ => {
                let index = name.strip_prefix("cursor[")?.strip_suffix(']')?;
                index.parse().ok().map(Self::Cursor)
            }
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(0) => formatter.write_str("{cursor}"),
            Self::Cursor(index) => write!(formatter, "{{cursor[{index}]}}"),
            Self::Page => formatter.write_str("{page}"),
        }
    }
}

/// Text with placeholders. Any other brace is literal.
#[derive(Clone)]
pub(in crate::client::poll) struct Text(Vec<Part>);

#[derive(Clone)]
enum Part {
    Literal(String),
    Value(Placeholder),
}

impl Text {
    pub(super) fn new(text: &str) -> Self {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            let inner = &rest[at + 1..];
            let found = inner.find('}').and_then(|end| Some((Placeholder::parse(&inner[..end])?, end)));
            if let Some((placeholder, end)) = found {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Value(placeholder));
                rest = &inner[end + 1..];
            } else {
                literal.push('{');
                rest = inner;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self(parts)
    }

    pub(super) fn is_literal(&self) -> bool {
        self.placeholders().next().is_none()
    }

    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Value(placeholder) => Some(*placeholder),
        })
    }

    /// Returns the literal text before the first placeholder.
    pub(super) fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Returns a URL with these parameters added to its query.
    pub(super) fn with_query(mut self, pairs: &[(String, String)]) -> Self {
        let has_query = self.0.iter().any(|part| matches!(part, Part::Literal(text) if text.contains('?')));
        let mut text = String::new();
        for (name, value) in pairs {
            text.push(if has_query || !text.is_empty() { '&' } else { '?' });
            percent_encode(&mut text, name);
            text.push('=');
            percent_encode(&mut text, value);
        }
        if !text.is_empty() {
            self.0.push(Part::Literal(text));
        }
        self
    }

    /// Returns the text; `None` if a value is missing.
    pub(super) fn render(&self, values: &Values) -> Option<String> {
        self.render_with(values, String::push_str)
    }

    /// Returns the text as a part of a URL; `None` if a value is missing.
    pub(super) fn render_encoded(&self, values: &Values) -> Option<String> {
        self.render_with(values, percent_encode)
    }

    fn render_with(&self, values: &Values, write: impl Fn(&mut String, &str)) -> Option<String> {
        let mut rendered = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => rendered.push_str(text),
                Part::Value(placeholder) => write(&mut rendered, values.get(*placeholder)?),
            }
        }
        Some(rendered)
    }

    /// Returns the placeholder that is the whole text.
    pub(super) fn only(text: &str) -> Option<Placeholder> {
        Placeholder::parse(text.strip_prefix('{')?.strip_suffix('}')?)
    }
}

/// The text may be secret.
impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced_and_other_braces_stay() {
        let values = Values { cursor: vec!["a b".into(), "7".into()], ..Values::default() };
        let render = |text: &str| Text::new(text).render(&values);
        assert_eq!(render("updated:>{cursor}").as_deref(), Some("updated:>a b"));
        assert_eq!(render("{cursor},{cursor[1]}").as_deref(), Some("a b,7"));
        assert_eq!(render("{ cursor } {x} {{a}").as_deref(), Some("{ cursor } {x} {{a}"));
        assert_eq!(render("{page}"), None);
        assert_eq!(render("{cursor[2]}"), None);
        assert_eq!(Text::new("/{cursor}/x").render_encoded(&values).as_deref(), Some("/a%20b/x"));
        assert_eq!(Text::new("{page").placeholders().count(), 0);
        assert_eq!(Text::only("{cursor[1]}"), Some(Placeholder::Cursor(1)));
        assert_eq!(Text::only("{ node { cursor } }"), None);
    }
}
