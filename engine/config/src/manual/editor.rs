//! The JSON Schema of a whole pipeline file, for editors.

use serde_json::{Map, Value, json};
use tidegate_sdk::{Kind, Plugin, Registry};

use crate::keys;

/// The JSON Schema of a pipeline file with the plugins of `registry`: editors that know TOML schemas (taplo, VS
/// Code's Even Better TOML) complete, explain and check by it.
///
/// The schema is draft 7, and a `$ref` has no siblings. Options that depend on a word (those of a plugin, of a kind of
/// pages) are checked by `if` and `then`, so a problem is reported at its key. A sibling `anyOf` that everything fits
/// is for editors that complete by `anyOf` and do not follow `if`.
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
    let known = definitions.clone();
    for schema in definitions.values_mut().chain(properties.values_mut()) {
        by_word(schema, &known);
        interpolated(schema);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Tidegate pipeline",
        "description": "A pipeline: its sources, filters and sinks.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        // The plugins of the file's own libraries are not known here.
        "if": { "properties": { "plugins": { "required": ["libraries"] } }, "required": ["plugins"] },
        "else": { "properties": known_plugins(registry) },
        "$defs": definitions,
    })
}

/// The components of one kind: by the plugin that each names.
fn kind_schema(kind: Kind, registry: &Registry, definitions: &mut Map<String, Value>) -> Value {
    let mut engine = moved(&keys::component_schema(kind), kind.name(), definitions);
    let (mut branches, mut choices) = (Vec::new(), vec![json!({})]);
    for plugin in registry.iter().filter(|plugin| plugin.kind() == kind) {
        let name = format!("{}.{}", kind.name(), plugin.name());
        let component = component_schema(plugin, &engine, &name, definitions);
        definitions.insert(name.clone(), component);
        let schema = json!({ "$ref": reference(&name) });
        branches.push(when("plugin", plugin.name(), &schema));
        choices.push(schema);
    }
    // Other keys are those of a plugin, which its branch knows.
    for keyword in ["additionalProperties", "unevaluatedProperties", "title"] {
        engine.as_object_mut().and_then(|object| object.remove(keyword));
    }
    engine["type"] = json!("object");
    engine["required"] = json!(["plugin"]);
    engine["allOf"] = branches.into();
    engine["anyOf"] = choices.into();
    json!({
        "description": format!("The {kind}s, each a table `[{kind}.NAME]`."),
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" },
        "additionalProperties": engine,
    })
}

/// The condition that each component has a known plugin.
fn known_plugins(registry: &Registry) -> Value {
    let mut kinds = Map::new();
    for kind in Kind::ALL {
        let names: Vec<&str> =
            registry.iter().filter(|plugin| plugin.kind() == kind).map(Plugin::name).collect();
        let plugin = json!({ "anyOf": [{ "enum": names }, any_interpolated()] });
        let component = json!({ "properties": { "plugin": plugin } });
        kinds.insert(kind.name().to_owned(), json!({ "additionalProperties": component }));
    }
    kinds.into()
}

/// The schema that holds where the key is this word.
fn when(key: &str, word: &str, schema: &Value) -> Value {
    let mut properties = Map::new();
    properties.insert(key.to_owned(), json!({ "const": word }));
    json!({ "if": { "type": "object", "properties": properties, "required": [key] }, "then": schema })
}

/// Text with a `${...}`, whose value is unknown before the program runs.
fn any_interpolated() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{" })
}

/// Puts `if` and `then` in the place of each `oneOf` whose branches differ by the word of a key.
fn by_word(schema: &mut Value, definitions: &Map<String, Value>) {
    each_inner(schema, &mut |inner| by_word(inner, definitions));
    let Some(branches) = schema.get("oneOf").and_then(Value::as_array).cloned() else { return };
    let Some((key, words)) = tag(&branches, definitions) else { return };
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("oneOf");
    let rules = words.iter().zip(&branches).map(|(word, branch)| when(&key, word, branch));
    if let Some(all) = object.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
        all.extend(rules);
    }
    if object.get("anyOf").is_none() {
        let choices: Vec<Value> = std::iter::once(json!({})).chain(branches).collect();
        object.insert("anyOf".to_owned(), choices.into());
    }
    object.entry("type").or_insert_with(|| json!("object"));
    object.entry("properties").or_insert_with(|| json!({}))[&key] = json!({ "enum": words });
    if let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.push(key.into());
    }
}

/// The key whose word distinguishes these branches, and the word of each.
fn tag(branches: &[Value], definitions: &Map<String, Value>) -> Option<(String, Vec<String>)> {
    let word = |branch: &Value, key: &str| -> Option<String> {
        let branch = resolved(branch, definitions);
        let property = &branch["properties"][key];
        let only = property["enum"].as_array().filter(|words| words.len() == 1).map(|words| &words[0]);
        property.get("const").or(only)?.as_str().map(str::to_owned)
    };
    let keys = resolved(branches.first()?, definitions)["properties"].as_object()?;
    keys.keys().find_map(|key| {
        let words: Option<Vec<String>> = branches.iter().map(|branch| word(branch, key)).collect();
        Some((key.clone(), words?))
    })
}

fn resolved<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

/// Lets each text that is limited to words or a pattern hold a `${...}` as well.
fn interpolated(schema: &mut Value) {
    let is_word = |one: &Value| one.get("const").is_some_and(Value::is_string) || is_words(one);
    for keyword in ["oneOf", "anyOf"] {
        let words = schema.get_mut(keyword).and_then(Value::as_array_mut);
        if let Some(words) = words.filter(|words| !words.is_empty() && words.iter().all(is_word)) {
            words.push(any_interpolated());
            return;
        }
    }
    each_inner(schema, &mut interpolated);
    let limited = is_word(schema) || ["pattern", "maxLength"].iter().any(|one| schema.get(*one).is_some());
    let Some(object) = schema.as_object_mut().filter(|_| limited) else { return };
    let mut limits = Map::new();
    for keyword in ["type", "enum", "const", "pattern", "minLength", "maxLength", "format"] {
        if let Some(value) = object.shift_remove(keyword) {
            limits.insert(keyword.to_owned(), value);
        }
    }
    object.insert("anyOf".to_owned(), json!([limits, any_interpolated()]));
}

fn is_words(schema: &Value) -> bool {
    let words = schema["enum"].as_array();
    words.is_some_and(|words| words.iter().any(Value::is_string))
}

/// Every schema right below this one that describes values of the file, rather than a condition.
fn each_inner(schema: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    let Some(object) = schema.as_object_mut() else { return };
    for (keyword, inner) in object {
        match (keyword.as_str(), inner) {
            ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                named.values_mut().for_each(&mut *visit);
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter_mut().for_each(&mut *visit),
            ("items" | "additionalProperties" | "then" | "else", inner @ Value::Object(_)) => visit(inner),
            _ => {}
        }
    }
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
        // The engine's keys are described and checked where the branches are.
        for key in engine["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            properties[key] = json!({});
        }
        properties["plugin"] = json!({ "const": plugin.name() });
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

/// Points references to the moved definitions, and moves the siblings of a reference beside an `allOf`.
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
