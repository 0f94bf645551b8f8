//! Rules of the manual of a plugin, and of its options.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate_sdk::{Component, ConfigError, Kind, Plugin};

use super::Rules;

/// The keys that belong to the engine on every component.
const ENGINE_KEYS: [&str; 12] = [
    "plugin",
    "from",
    "enabled",
    "isolation",
    "call_time",
    "on_reject",
    "workers",
    "order",
    "batch",
    "retry",
    "concurrency",
    "required",
];

/// Time limit to build a component, which reads no file and connects to no server.
const BUILD: Duration = Duration::from_secs(3);

/// Looks at a plugin's name, summary, schema and sample, and builds the sample.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub fn plugin(plugin: &Plugin) {
    let rules = Rules::of(plugin);
    let name_is_plain =
        plugin.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    rules.keeps(
        "the name is of lower-case letters, digits and _",
        name_is_plain && !plugin.name().is_empty(),
        plugin.name(),
    );
    let summary = plugin.summary();
    let summary_is_sentence =
        !summary.trim().is_empty() && !summary.ends_with('.') && !summary.contains('\n');
    rules.keeps("the summary is one sentence without a full stop", summary_is_sentence, summary);
    schema(rules, plugin.schema());
    let options = sample(rules, plugin);
    options_are_checked(plugin, &options);
}

/// The options in a plugin's sample.
///
/// # Panics
/// If there are none that it can be built from.
pub fn sample_options(plugin: &Plugin) -> Value {
    sample(Rules::of(plugin), plugin)
}

/// The checks of [`plugin`], and of these options.
pub(super) fn with_options(tested: &Plugin, options: &Value) {
    plugin(tested);
    options_are_checked(tested, options);
}

fn schema(rules: Rules<'_>, schema: &Value) {
    let is_object = schema.get("type").is_some_and(|kind| kind == "object");
    rules.keeps("the schema is an object", is_object, schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    for key in properties.into_iter().flat_map(Map::keys) {
        let is_ours = ENGINE_KEYS.contains(&key.as_str());
        rules.keeps("the engine's own keys are not used as options", !is_ours, key);
    }
    let denies = |schema: &Value| {
        ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| schema.get(*key) == Some(&json!(false)))
    };
    rules.keeps("unknown options are refused", denies(schema), "the schema allows more properties");
    described(rules, schema);
}

/// Every property, however deep, has a description. The tag of a choice (a constant) needs none.
fn described(rules: Rules<'_>, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let has =
            property.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        rules.keeps("every option is described", has || property.get("const").is_some(), name);
    }
    match schema {
        Value::Object(members) => members.values().for_each(|member| described(rules, member)),
        Value::Array(members) => members.iter().for_each(|member| described(rules, member)),
        _ => {}
    }
}

/// Reads the sample as a piece of a pipeline file. Returns the options in it.
fn sample(rules: Rules<'_>, plugin: &Plugin) -> Value {
    let file: Value = match toml::from_str(plugin.sample()) {
        Ok(file) => file,
        Err(error) => {
            panic!("{} `{}` breaks the rule \"the sample is TOML\": {error}", rules.kind, rules.name)
        }
    };
    let components = file.get(rules.kind.name()).and_then(Value::as_object);
    let named =
        components.into_iter().flat_map(Map::values).find(|component| component["plugin"] == rules.name);
    rules.keeps("the sample uses the plugin", named.is_some(), plugin.sample());
    let mut options = named.cloned().unwrap_or_default();
    if let Some(options) = options.as_object_mut() {
        options.retain(|key, _| !ENGINE_KEYS.contains(&key.as_str()));
        options.values_mut().for_each(fill_in);
    }
    let built = build(rules, plugin, &options);
    let problem = built.err().map(|error| error.to_string()).unwrap_or_default();
    rules.keeps("the sample can be built", problem.is_empty(), problem);
    options
}

/// Puts the default in the place of each `${NAME:-default}`, as without an environment.
fn fill_in(value: &mut Value) {
    match value {
        Value::String(text) => {
            while let Some(start) = text.find("${") {
                let Some(end) = text[start..].find('}').map(|end| start + end) else { return };
                let default = text[start..end].split_once(":-").map_or("x", |(_, default)| default);
                *text = format!("{}{default}{}", &text[..start], &text[end + 1..]);
            }
        }
        Value::Array(members) => members.iter_mut().for_each(fill_in),
        Value::Object(members) => members.values_mut().for_each(fill_in),
        _ => {}
    }
}

/// Builds on a thread of its own, where there is no async runtime: building waits for nothing.
fn build(rules: Rules<'_>, plugin: &Plugin, options: &Value) -> Result<(), ConfigError> {
    let started = std::time::Instant::now();
    let built = std::thread::scope(|scope| scope.spawn(|| plugin.build(options)).join());
    let Ok(built) = built else {
        panic!("{} `{}` breaks the rule \"building does not panic\": {options}", rules.kind, rules.name)
    };
    rules.keeps("building does no input or output", started.elapsed() < BUILD, "it takes over three seconds");
    built.map(|component| {
        let kind = match component {
            Component::Source(_) => Kind::Source,
            Component::Filter(_) | Component::AsyncFilter(_) => Kind::Filter,
            Component::Sink(_) => Kind::Sink,
        };
        rules.keeps("what is built is of the plugin's kind", kind == rules.kind, kind);
    })
}

fn options_are_checked(plugin: &Plugin, options: &Value) {
    let rules = Rules::of(plugin);
    for _ in 0..2 {
        let built = build(rules, plugin, options);
        let problem = built.err().map(|error| error.to_string()).unwrap_or_default();
        rules.keeps("good options are accepted, each time", problem.is_empty(), problem);
    }
    if plugin.library().is_some() {
        // The engine has checked the options against the schema before a library sees them.
        return;
    }
    let with = |key: &str, value: Value| {
        let mut changed = options.clone();
        if let Some(members) = changed.as_object_mut() {
            members.insert(key.to_owned(), value);
        }
        changed
    };
    let unknown = with("no_such_option", json!(1));
    rules.keeps("unknown options are refused", build(rules, plugin, &unknown).is_err(), &unknown);
    let properties = plugin.schema().get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(wrong) = wrong_value(plugin.schema(), property) {
            let changed = with(name, wrong);
            let refused = build(rules, plugin, &changed).is_err();
            rules.keeps("an option of the wrong type is refused", refused, &changed);
        }
    }
}

/// A value of a type that the property does not allow; `None` if it allows all, or does not say.
fn wrong_value(root: &Value, property: &Value) -> Option<Value> {
    let mut allowed = Vec::new();
    if !collect_types(root, property, &mut allowed, 0) {
        return None;
    }
    let candidates = [("boolean", json!(true)), ("object", json!({"a": {}})), ("array", json!([[]]))];
    candidates
        .into_iter()
        .find(|(name, _)| !allowed.iter().any(|known| known == name))
        .map(|(_, value)| value)
}

/// Collects the types that a schema allows; false if it does not say.
fn collect_types(root: &Value, schema: &Value, allowed: &mut Vec<String>, depth: usize) -> bool {
    if depth > 16 {
        return false;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.is_some_and(|target| collect_types(root, target, allowed, depth + 1));
    }
    let mut known = true;
    match schema.get("type") {
        Some(Value::String(name)) => allowed.push(name.clone()),
        Some(Value::Array(names)) => {
            allowed.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => known = false,
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            known = choices.iter().all(|choice| collect_types(root, choice, allowed, depth + 1));
        }
    }
    known
        || schema.get("enum").or(schema.get("const")).is_some_and(|values| {
            // A choice of words; of values of another type, none is used.
            allowed.push("string".to_owned());
            values.is_string() || values.as_array().is_some_and(|values| values.iter().all(Value::is_string))
        })
}
