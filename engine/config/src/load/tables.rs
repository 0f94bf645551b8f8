//! The tables that are not components: `[pipeline]`, `[plugins]`, and those that a pipeline file does not have.

use std::borrow::Cow;

use serde::Deserialize;
use tidegate_sdk::{Kind, Registry};

use crate::check::{Checker, Scope};
use crate::component::libraries;
use crate::diagnostic::Diagnostic;
use crate::document::interpolate::interpolate;
use crate::document::{Data, Entry, Table, place};
use crate::environment::Environment;
use crate::keys::{self, PipelineKeys, Settings};
use crate::names::{nearest, pipeline_problem};
use crate::schema::Schema;

/// The tables of a pipeline file.
const KNOWN: [&str; 5] = ["source", "filter", "sink", "pipeline", "plugins"];

/// Reads the keys of `[pipeline]`, or their defaults if one is wrong.
pub(super) fn pipeline(
    root: &mut Table,
    source: &str,
    environment: &Environment<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (PipelineKeys, Settings) {
    let defaults = (PipelineKeys::default(), Settings::default());
    let Some(entry) = root.entries.iter_mut().find(|entry| entry.key == "pipeline") else { return defaults };
    interpolate(&mut entry.item, source, environment, diagnostics);
    let before = diagnostics.len();
    engine_table(entry, &keys::pipeline_schema(), source, diagnostics);
    diagnostics.extend(["name", "id"].into_iter().filter_map(|key| name_problem(entry, key)));
    if diagnostics.len() > before || entry.item.is_broken() {
        return defaults;
    }
    let json = entry.item.json();
    let (Ok(keys), Ok(mut settings)) = (PipelineKeys::deserialize(&json), Settings::deserialize(&json))
    else {
        return defaults;
    };
    if let (None, Some(memory)) = (json.get("event_size"), settings.memory) {
        settings.event_size = settings.event_size.min(memory);
    }
    (keys, settings)
}

/// The problem of the pipeline's `name` or `id`.
fn name_problem(pipeline: &Entry, key: &str) -> Option<Diagnostic> {
    let item = &pipeline.item.table()?.get(key)?.item;
    let Data::Text(text) = &item.data else { return None };
    let rule = pipeline_problem(&text.value)?;
    let message = match item.shown() {
        Some(shown) => format!("`{shown}` cannot be the {key} of a pipeline"),
        None => format!("the value of `{key}` cannot be the {key} of a pipeline"),
    };
    Some(place(Diagnostic::error("bad-name", message), &item.origin, "").note(rule))
}

/// Checks a table that has only keys of the engine.
fn engine_table(entry: &Entry, schema: &serde_json::Value, source: &str, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = entry.item.table() else {
        let message = format!("`{}` must be a table", entry.key);
        let label = format!("write `[{}]`, with its keys below", entry.key);
        diagnostics.push(place(Diagnostic::error("wrong-type", message), &entry.item.origin, label));
        return;
    };
    let shapes = Schema::new(schema).shapes();
    let scope = Scope {
        owner: format!("`[{}]`", entry.key),
        manual: None,
        known: shapes[0].properties.clone(),
        missing: Vec::new(),
        source,
    };
    let mut checker = Checker::new(&scope);
    checker.table(&shapes, table, &entry.item.origin, "");
    diagnostics.append(&mut checker.diagnostics);
}

/// Finds every plugin that the file may use.
pub(super) fn plugins<'a>(
    root: &mut Table,
    known: &'a Registry,
    source: &str,
    environment: &Environment<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Cow<'a, Registry> {
    let Some(entry) = root.entries.iter_mut().find(|entry| entry.key == "plugins") else {
        return Cow::Borrowed(known);
    };
    interpolate(&mut entry.item, source, environment, diagnostics);
    let before = diagnostics.len();
    engine_table(entry, &keys::plugins_schema(), source, diagnostics);
    let libraries = entry.item.table().and_then(|table| table.get("libraries"));
    match libraries {
        Some(libraries) if diagnostics.len() == before && !entry.item.is_broken() => {
            libraries::registry(known, &libraries.item, environment, diagnostics)
        }
        _ => Cow::Borrowed(known),
    }
}

/// Reports tables that a pipeline file does not have. A table whose meaning is clear (`[transform.x]`) gets the right
/// name, so that its components are checked like the others.
pub(super) fn unknown(root: &mut Table, diagnostics: &mut Vec<Diagnostic>) {
    for entry in root.entries.iter_mut().filter(|entry| !KNOWN.contains(&entry.key.as_str())) {
        let is_table = entry.item.table().is_some();
        let meant = if is_table { meant(&entry.key) } else { "" };
        let message = if is_table {
            format!("a pipeline file has no table `{}`", entry.key)
        } else {
            format!("`{}` is outside of any table", entry.key)
        };
        let label = if meant.is_empty() { String::new() } else { format!("did you mean `{meant}`?") };
        let note = "a file has `[source.NAME]`, `[filter.NAME]`, `[sink.NAME]`, `[pipeline]` and `[plugins]`";
        let diagnostic = Diagnostic::error("unknown-table", message);
        diagnostics.push(place(diagnostic, &entry.origin, label).note(note));
        if Kind::ALL.iter().any(|kind| kind.name() == meant) {
            meant.clone_into(&mut entry.key);
        }
    }
}

/// The table that is meant by a name that other programs use, or by a misspelt one. Empty if there is none.
fn meant(key: &str) -> &'static str {
    match key.to_lowercase().as_str() {
        "transform" | "transforms" | "processor" | "processors" | "operator" | "operators" | "map" => {
            "filter"
        }
        "input" | "inputs" | "producer" => "source",
        "output" | "outputs" | "destination" | "target" | "consumer" => "sink",
        other => nearest(other, KNOWN).unwrap_or_default(),
    }
}
