//! The JSON Schema of a whole pipeline file, for editors.

use serde_json::{Map, Value, json};
use tidegate_sdk::{Kind, Plugin, Registry};

use crate::keys;

/// The JSON Schema of a pipeline file with the plugins of `registry`: editors that know TOML schemas (taplo, VS
/// Code's Even Better TOML) complete, explain and check by it.
///
/// It keeps to what those editors understand: draft 7, plugins told apart by `oneOf` (they do not follow
/// `if`), and nothing beside a `$ref` (they would not see it).
pub fn editor_schema(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    let mut properties = Map::new();
    for kind in Kind::ALL {
        properties.insert(kind.name().to_owned(), kind_schema(kind, registry, &mut definitions));
    }
    let whole = [("pipeline", keys::pipeline_schema()), ("plugins", keys::plugins_schema())];
    for (name, schema) in whole {
        properties.insert(name.to_owned(), moved(&schema, name, &mut definitions));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Tidegate pipeline",
        "description": "A pipeline: where events come from, what happens to them, where they go.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The components of one kind: by the plugin that each names.
fn kind_schema(kind: Kind, registry: &Registry, definitions: &mut Map<String, Value>) -> Value {
    let engine = moved(&keys::component_schema(kind), kind.name(), definitions);
    let mut branches = Vec::new();
    for plugin in registry.iter().filter(|plugin| plugin.kind() == kind) {
        let name = format!("{}.{}", kind.name(), plugin.name());
        let component = component_schema(plugin, &engine, &name, definitions);
        definitions.insert(name.clone(), component);
        branches.push(json!({ "$ref": reference(&name) }));
    }
    json!({
        "description": format!("The {kind}s, each a table `[{kind}.NAME]`."),
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" },
        "additionalProperties": { "oneOf": branches },
    })
}

/// A component of one plugin: the plugin's options beside the engine's.
fn component_schema(
    plugin: &Plugin,
    engine: &Value,
    name: &str,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut schema = moved(plugin.schema(), name, definitions);
    let choices = ["oneOf", "anyOf", "allOf"].iter().any(|keyword| schema.get(*keyword).is_some());
    if let Some(object) = schema.as_object_mut() {
        object.insert("type".to_owned(), json!("object"));
        object.insert("title".to_owned(), json!(plugin.name()));
        object.insert("description".to_owned(), json!(plugin.summary()));
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        for (key, value) in engine["properties"].as_object().into_iter().flatten() {
            properties[key] = value.clone();
        }
        properties["plugin"]["enum"] = json!([plugin.name()]);
        if let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut() {
            required.insert(0, json!("plugin"));
        }
        // With a choice at the top, what is closed for one branch would close out the engine's keys.
        object.insert("additionalProperties".to_owned(), json!(choices));
    }
    schema
}

/// The schema with its definitions moved to those of the whole, under names that begin with `prefix`.
fn moved(schema: &Value, prefix: &str, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    rename(&mut schema, prefix);
    if let Some(own) = schema.as_object_mut().and_then(|object| object.remove("$defs")) {
        for (name, definition) in own.as_object().into_iter().flatten() {
            definitions.insert(format!("{prefix}.{name}"), definition.clone());
        }
    }
    schema
}

/// Points references to the moved definitions, and takes what stands beside one out of its shadow.
fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(entries) => {
            entries.values_mut().for_each(|value| rename(value, prefix));
            let Some(Value::String(target)) = entries.get("$ref") else { return };
            let name = target.strip_prefix("#/$defs/").unwrap_or(target);
            let target = reference(&format!("{prefix}.{name}"));
            if entries.len() == 1 {
                entries.insert("$ref".to_owned(), target.into());
            } else {
                entries.shift_remove("$ref");
                entries.insert("allOf".to_owned(), json!([{ "$ref": target }]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        _ => {}
    }
}

fn reference(name: &str) -> String {
    format!("#/$defs/{name}")
}
