//! Options as a manual lists them.

use serde_json::Value;
use tidegate_sdk::{Kind, Plugin};

use crate::keys;
use crate::schema::example::toml_text;
use crate::schema::{Form, Schema, Shape};

/// An option of a plugin or of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDoc {
    /// The key; options of a table within are dotted, `auth.user`.
    pub name: String,
    /// The type in plain words: `text`, `duration`, `list of text`, "one of `a` or `b`".
    pub type_name: String,
    /// The default, as TOML writes it.
    pub default: Option<String>,
    /// True for a key that must be given (for an option of a table: if the table is given).
    pub required: bool,
    /// The meaning and the unit.
    pub description: String,
}

/// The depth of nested tables that are listed.
const DEEPEST: usize = 4;

/// The options of a plugin, in the order of its struct.
pub fn options(plugin: &Plugin) -> Vec<OptionDoc> {
    listed(plugin.schema())
}

/// The options that the engine has for every component of this kind.
pub fn engine_options(kind: Kind) -> Vec<OptionDoc> {
    listed(&keys::component_schema(kind))
}

/// The options of `[pipeline]`.
pub fn pipeline_options() -> Vec<OptionDoc> {
    listed(&keys::pipeline_schema())
}

fn listed(schema: &Value) -> Vec<OptionDoc> {
    let mut options = Vec::new();
    table(&Schema::new(schema).shapes(), "", 0, None, &mut options);
    options
}

/// Lists the keys of a table that has one of these shapes. A key of only some shapes counts as optional, and its
/// description names the shape.
fn table(
    shapes: &[Shape<'_>],
    prefix: &str,
    depth: usize,
    defaults: Option<&Value>,
    options: &mut Vec<OptionDoc>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for shape in shapes {
        for (name, schema) in &shape.properties {
            if seen.contains(name) {
                continue;
            }
            seen.push(name);
            let required = shapes.iter().all(|shape| shape.required.contains(name));
            let words = tag_words(shapes, name);
            let default = defaults.and_then(|defaults| defaults.get(name)).filter(|value| !value.is_null());
            let default = default.or(schema.default());
            options.push(OptionDoc {
                name: format!("{prefix}{name}"),
                type_name: words.unwrap_or_else(|| schema.type_name()),
                default: default.filter(|value| !is_empty(value)).map(toml_text),
                required,
                description: description(*schema, shapes, shape),
            });
            if depth < DEEPEST {
                let tables = schema.choices().into_iter().filter(|choice| choice.form() == Some(Form::Table));
                let inner: Vec<Shape<'_>> = tables.flat_map(Schema::shapes).collect();
                table(&inner, &format!("{prefix}{name}."), depth + 1, default, options);
            }
        }
    }
}

/// Returns true for an empty list or table, which says nothing as a default.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.values().all(Value::is_null),
        _ => false,
    }
}

/// The words of a key that distinguishes the shapes.
fn tag_words(shapes: &[Shape<'_>], name: &str) -> Option<String> {
    let tags: Option<Vec<(&str, &str)>> = shapes.iter().map(Shape::tag).collect();
    let tags = tags.filter(|tags| tags.len() > 1 && tags.iter().all(|(key, _)| *key == name))?;
    Some(format!("one of {}", crate::names::listed(tags.iter().map(|(_, word)| *word), "or")))
}

/// The description of the option, the meanings of its values, and the shape of the table that it belongs to.
fn description(schema: Schema<'_>, shapes: &[Shape<'_>], shape: &Shape<'_>) -> String {
    let own = one_line(schema.description());
    let mut parts = vec![own.clone()];
    let choices = schema.choices();
    if choices.len() > 1 {
        for choice in choices {
            if let (Some([word]), text) = (choice.words().as_deref(), choice.own_description())
                && !text.is_empty()
                && !own.contains(&format!("`{word}`"))
                && !own.contains(&format!("\"{word}\""))
            {
                parts.push(format!("`{word}`: {}", one_line(text)));
            }
        }
    }
    if let (Some((key, word)), true) = (shape.tag(), shapes.len() > 1)
        && schema.all_words().as_deref() != Some(&[word])
    {
        parts.push(format!("With `{key} = \"{word}\"`."));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
