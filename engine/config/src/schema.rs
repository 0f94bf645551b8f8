//! JSON Schema as schemars writes it, read as a description of options.

pub(crate) mod example;

use serde_json::Value;

use crate::names::listed;

/// A schema inside the root that its references point into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema<'a> {
    root: &'a Value,
    /// The node with the structure.
    node: &'a Value,
    /// The node with the description, the default and the examples: the one before references are followed.
    outer: &'a Value,
    /// The selected type, if the node lists several.
    only: Option<&'a str>,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Integer,
    Number,
    Boolean,
    List,
    Table,
}

/// The keys of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape<'a> {
    pub(crate) properties: Vec<(&'a str, Schema<'a>)>,
    pub(crate) required: Vec<&'a str>,
    pub(crate) other: Other<'a>,
}

/// The values of keys that the schema does not name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Other<'a> {
    #[default]
    Anything,
    Nothing,
    These(Schema<'a>),
}

/// The largest number of references and nested choices that are followed.
const DEEPEST: usize = 16;

/// The largest number of shapes of one table.
const MOST_SHAPES: usize = 64;

impl<'a> Schema<'a> {
    /// The schema as a whole.
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, node: root, outer: root, only: None }.resolved()
    }

    fn inner(self, node: &'a Value) -> Self {
        Self { root: self.root, node, outer: node, only: None }.resolved()
    }

    /// Follows references, and choices between one thing and nothing (an option that may be left out).
    fn resolved(mut self) -> Self {
        for _ in 0..DEEPEST {
            let next = match (self.node["$ref"].as_str(), self.only_choice()) {
                (Some(reference), _) => reference.strip_prefix('#').and_then(|path| self.root.pointer(path)),
                (None, choice) => choice,
            };
            match next {
                Some(node) => self.node = node,
                None => break,
            }
        }
        self
    }

    fn only_choice(self) -> Option<&'a Value> {
        if self.node.get("properties").is_some() {
            return None;
        }
        let choices = self.node["anyOf"].as_array().or_else(|| self.node["oneOf"].as_array())?;
        let mut real = choices.iter().filter(|choice| choice["type"] != "null");
        real.next().filter(|_| real.next().is_none())
    }

    /// A keyword, of the naming node or else of what it refers to.
    fn keyword(self, name: &str) -> Option<&'a Value> {
        self.outer.get(name).or_else(|| self.node.get(name))
    }

    /// A keyword that says something of the structure.
    pub(crate) fn limit(self, name: &str) -> Option<&'a Value> {
        self.keyword(name)
    }

    /// The description, if there is one.
    pub(crate) fn description(self) -> &'a str {
        self.keyword("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// The description of the thing itself, rather than of the option that is one.
    pub(crate) fn own_description(self) -> &'a str {
        self.node["description"].as_str().unwrap_or_default()
    }

    /// The default.
    pub(crate) fn default(self) -> Option<&'a Value> {
        self.keyword("default").filter(|value| !value.is_null())
    }

    /// The first example.
    pub(crate) fn example(self) -> Option<&'a Value> {
        self.keyword("examples").and_then(|examples| examples.get(0))
    }

    /// The examples that are text.
    pub(crate) fn examples(self) -> impl Iterator<Item = &'a str> {
        self.keyword("examples").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The format of a text or number.
    pub(crate) fn format(self) -> Option<&'a str> {
        self.keyword("format").and_then(Value::as_str)
    }

    /// The schema of a list's items.
    pub(crate) fn items(self) -> Option<Schema<'a>> {
        self.node.get("items").filter(|items| items.is_object()).map(|items| self.inner(items))
    }

    /// The alternatives for a value: itself if there is no choice.
    pub(crate) fn choices(self) -> Vec<Schema<'a>> {
        let mut choices = Vec::new();
        self.collect_choices(&mut choices, 0);
        choices
    }

    fn collect_choices(self, choices: &mut Vec<Schema<'a>>, depth: usize) {
        let branches = ["anyOf", "oneOf"].into_iter().find_map(|name| self.node[name].as_array());
        match branches.filter(|_| self.node.get("properties").is_none() && depth < DEEPEST) {
            Some(branches) => {
                for branch in branches.iter().filter(|branch| branch["type"] != "null") {
                    self.inner(branch).collect_choices(choices, depth + 1);
                }
            }
            None => match self.types().as_slice() {
                types @ [_, _, ..] => {
                    choices.extend(types.iter().map(|name| Self { only: Some(*name), ..self }));
                }
                _ => choices.push(self),
            },
        }
    }

    /// The names of the types that the node lists, but for the absence of a value.
    fn types(self) -> Vec<&'a str> {
        match (self.only, &self.node["type"]) {
            (Some(name), _) => vec![name],
            (None, Value::String(name)) => vec![name],
            (None, Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            _ => Vec::new(),
        }
    }

    /// The words that a value must be one of, if the schema lists them.
    pub(crate) fn words(self) -> Option<Vec<&'a str>> {
        if let Some(word) = self.node["const"].as_str() {
            return Some(vec![word]);
        }
        self.node["enum"].as_array().map(|words| words.iter().filter_map(Value::as_str).collect())
    }

    /// All words that a value can be, if it can be nothing else.
    pub(crate) fn all_words(self) -> Option<Vec<&'a str>> {
        let lists: Option<Vec<Vec<&str>>> = self.choices().into_iter().map(Schema::words).collect();
        lists.map(|lists| lists.concat()).filter(|words| !words.is_empty())
    }

    /// The type. `None` if the value can have any.
    pub(crate) fn form(self) -> Option<Form> {
        let name = match self.types().first() {
            Some(name) => name,
            None if self.words().is_some() => "string",
            None if self.node.get("properties").is_some() => "object",
            None => return None,
        };
        match name {
            "string" => Some(Form::Text),
            "integer" => Some(Form::Integer),
            "number" => Some(Form::Number),
            "boolean" => Some(Form::Boolean),
            "array" => Some(Form::List),
            _ => Some(Form::Table),
        }
    }

    /// The shapes of a table of this schema: several, where there is a choice.
    pub(crate) fn shapes(self) -> Vec<Shape<'a>> {
        self.shapes_at(0)
    }

    fn shapes_at(self, depth: usize) -> Vec<Shape<'a>> {
        let mut shapes = vec![self.own_shape()];
        if depth >= DEEPEST {
            return shapes;
        }
        let parts = |name: &str| self.node[name].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        for part in parts("allOf") {
            shapes = join(&shapes, &self.inner(part).shapes_at(depth + 1));
        }
        for name in ["oneOf", "anyOf"] {
            let is_table =
                |part: &Schema<'_>| part.form() == Some(Form::Table) || part.node.get("oneOf").is_some();
            let branches = parts(name).map(|part| self.inner(part)).filter(is_table);
            let branches: Vec<_> = branches.flat_map(|part| part.shapes_at(depth + 1)).collect();
            if !branches.is_empty() {
                shapes = join(&shapes, &branches);
            }
        }
        shapes
    }

    fn own_shape(self) -> Shape<'a> {
        let properties = self.node["properties"].as_object();
        let required = self.node["required"].as_array();
        let closed = |name: &str| self.node.get(name) == Some(&Value::Bool(false));
        // A table whose keys are named has no others, even where its author forgot to say so: a slip of the pen
        // would go unnoticed.
        let named = properties.is_some_and(|properties| !properties.is_empty());
        let other = match self.node.get("additionalProperties") {
            None if named => Other::Nothing,
            _ if closed("additionalProperties") || closed("unevaluatedProperties") => Other::Nothing,
            Some(schema) if schema.is_object() => Other::These(self.inner(schema)),
            _ => Other::Anything,
        };
        Shape {
            properties: properties
                .into_iter()
                .flatten()
                .map(|(name, node)| (name.as_str(), self.inner(node)))
                .collect(),
            required: required.into_iter().flatten().filter_map(Value::as_str).collect(),
            other,
        }
    }

    /// The type in plain words: `text`, `duration`, `list of text`, "one of `a` or `b`".
    pub(crate) fn type_name(self) -> String {
        self.type_name_at(0)
    }

    fn type_name_at(self, depth: usize) -> String {
        if let Some(words) = self.all_words() {
            return match words.as_slice() {
                [word] => format!("`{word}`"),
                _ => format!("one of {}", listed(words.iter().copied(), "or")),
            };
        }
        let choices = self.choices();
        if choices.len() > 1 && depth < DEEPEST {
            let mut names: Vec<String> = Vec::new();
            for choice in choices {
                let name = choice.type_name_at(depth + 1);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            return names.join(" or ");
        }
        match (self.form(), self.format()) {
            (Some(Form::Text), Some("duration-text")) => "duration".to_owned(),
            (Some(Form::Text), Some("size-text")) => "size".to_owned(),
            (Some(Form::Text), Some("json-path-text")) => "path".to_owned(),
            (Some(Form::Text), Some("template-text")) => "template".to_owned(),
            (Some(Form::Text), Some("secret")) => "secret text".to_owned(),
            (Some(Form::Text), _) => "text".to_owned(),
            (Some(Form::Integer), _) => "whole number".to_owned(),
            (Some(Form::Number), _) => "number".to_owned(),
            (Some(Form::Boolean), _) => "true/false".to_owned(),
            (Some(Form::List), _) => match self.items().filter(|_| depth < DEEPEST) {
                Some(items) => format!("list of {}", items.type_name_at(depth + 1)),
                None => "list".to_owned(),
            },
            (Some(Form::Table), _) => match self.own_shape().other {
                Other::These(inner) if depth < DEEPEST => {
                    format!("table of {}", inner.type_name_at(depth + 1))
                }
                _ => "table".to_owned(),
            },
            (None, _) => "any value".to_owned(),
        }
    }
}

impl<'a> Shape<'a> {
    /// The schema of this key, if the shape names it.
    pub(crate) fn get(&self, key: &str) -> Option<Schema<'a>> {
        self.properties.iter().find(|(name, _)| *name == key).map(|(_, schema)| *schema)
    }

    /// Returns true if the table takes keys that the schema does not name.
    pub(crate) fn takes_any(&self) -> bool {
        !matches!(self.other, Other::Nothing)
    }

    /// The key with a single possible word, which distinguishes this shape from others, and that word.
    pub(crate) fn tag(&self) -> Option<(&'a str, &'a str)> {
        self.properties.iter().find_map(|(name, schema)| match schema.all_words()?.as_slice() {
            [word] if self.required.contains(name) => Some((*name, *word)),
            _ => None,
        })
    }
}

/// Joins every shape of one list with every shape of the other.
fn join<'a>(left: &[Shape<'a>], right: &[Shape<'a>]) -> Vec<Shape<'a>> {
    let mut joined = Vec::new();
    for (one, two) in left.iter().flat_map(|one| right.iter().map(move |two| (one, two))).take(MOST_SHAPES) {
        let mut shape = one.clone();
        shape.properties.extend(two.properties.iter().filter(|(name, _)| one.get(name).is_none()));
        shape.required.extend(two.required.iter().filter(|name| !one.required.contains(name)));
        shape.other = match (one.other, two.other) {
            (Other::Anything, other) | (other, Other::Anything) => other,
            (other, _) => other,
        };
        joined.push(shape);
    }
    joined
}
