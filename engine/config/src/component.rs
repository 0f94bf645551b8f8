//! Reads the table of one component: its engine keys, its plugin, its options.

pub(crate) mod build;
pub(crate) mod build_error;
pub(crate) mod draft;
pub(crate) mod engine_keys;
pub(crate) mod exclusive;
pub(crate) mod libraries;
mod plugin;

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Kind, Plugin, Registry};

use crate::check::{Checker, Scope};
use crate::component::build::{Built, Options};
use crate::component::build_error::Reporter;
use crate::component::draft::{Draft, From};
use crate::component::engine_keys::{engine_options, misplaced, unused_keys};
use crate::component::exclusive::claims;
use crate::component::plugin::misspelt_plugin;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::document::{Data, Entry, Item, Table, place};
use crate::keys::{self, EngineOptions};
use crate::names::{self, nearest};
use crate::schema::Schema;

/// Reads components.
pub(crate) struct Reader<'a> {
    pub(crate) registry: &'a Registry,
    /// False after an error in the libraries: a missing plugin may be in one of them, and is not reported.
    pub(crate) whole: bool,
    pub(crate) source: &'a str,
    /// The schema of the engine's keys, by kind.
    schemas: Vec<(Kind, Value)>,
    /// `[pipeline] workers`.
    workers: usize,
}

/// The table of a component, split by owner of the keys.
struct Split {
    engine: Table,
    options: Table,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(registry: &'a Registry, whole: bool, source: &'a str, workers: usize) -> Self {
        let schemas = Kind::ALL.into_iter().map(|kind| (kind, keys::component_schema(kind))).collect();
        Self { registry, whole, source, schemas, workers }
    }

    fn keys(&self, kind: Kind) -> Schema<'_> {
        let found = self.schemas.iter().find(|(one, _)| *one == kind);
        Schema::new(found.map_or(&Value::Null, |(_, schema)| schema))
    }

    /// Reads one component whose texts are interpolated already.
    pub(crate) fn read(
        &'a self,
        kind: Kind,
        entry: &Entry,
        table: &Table,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Draft {
        let header = entry.item.origin.clone();
        let named = misspelt_plugin(table);
        let plugin = self.plugin(kind, named, diagnostics);
        let scope = self.scope(kind, &entry.key, plugin, table);
        let mut checker = Checker::new(&scope);
        let split = self.split(kind, &entry.key, plugin, table, &mut checker);
        for entry in &split.engine.entries {
            if let Some(schema) = self.keys(kind).shapes()[0].get(&entry.key) {
                checker.value(schema, &entry.item, &entry.key);
            }
        }
        let mut draft = Draft {
            kind,
            name: entry.key.clone(),
            origin: entry.origin.clone(),
            header: header.clone(),
            enabled: true,
            plugin: None,
            options: Value::Null,
            engine: EngineOptions::default(),
            from: From::of(split.engine.get("from")),
            outputs: None,
            capabilities: Arc::default(),
            is_known: false,
            claims: Vec::new(),
        };
        if !has_errors(&checker.diagnostics) {
            draft.engine = engine_options(kind, &split.engine, self.workers);
        }
        let faults = checker.faults.len();
        if let Some(plugin) = plugin {
            checker.table(&Schema::new(plugin.schema()).shapes(), &split.options, &header, "");
        }
        if named.is_none() {
            self.missing_plugin(table, &header, &draft.name, &mut checker);
        }
        draft.plugin =
            plugin.map(|plugin| libraries::placed(plugin, &split.engine, &mut checker.diagnostics));
        let engine_is_sound = !has_errors(&checker.diagnostics);
        let (faults, swallowed) = (checker.faults.split_off(faults), checker.swallowed);
        diagnostics.append(&mut checker.diagnostics);
        if let Some(plugin) = draft.plugin.clone() {
            let options = Item { origin: header, data: Data::Table(split.options) };
            draft.options = options.json();
            let options = Options { item: options, faults, swallowed };
            let mut built = options.build(&plugin);
            self.add_built(&mut draft, &plugin, &split.engine, &mut built, engine_is_sound, diagnostics);
        }
        draft
    }

    /// Adds the results of building the component: its claims and outputs, and the problems and warnings of its plugin.
    fn add_built(
        &self,
        draft: &mut Draft,
        plugin: &Plugin,
        engine: &Table,
        built: &mut Built,
        engine_is_sound: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let name = draft.name.clone();
        let reporter = Reporter { name: &name, plugin, options: &built.options, source: self.source };
        diagnostics.extend(built.problems.iter().map(|one| reporter.build_error(one)));
        let Some(component) = built.component.as_mut().filter(|_| !built.may_differ) else { return };
        let capabilities = component.capabilities();
        draft.is_known = true;
        if built.is_sound {
            draft.claims = claims(&draft.name, &capabilities, &built.options);
        }
        if engine_is_sound && built.is_sound {
            draft.outputs = Some(capabilities.outputs.clone());
            diagnostics.extend(capabilities.warnings.iter().map(|one| reporter.warning(one)));
            unused_keys(&capabilities, draft, engine, diagnostics);
        }
        draft.capabilities = Arc::new(capabilities);
    }

    fn scope(&self, kind: Kind, name: &str, plugin: Option<&'a Plugin>, table: &Table) -> Scope<'_> {
        let own = self.keys(kind).shapes().remove(0);
        let (mut known, mut missing) = (own.properties, own.required);
        for shape in plugin.into_iter().flat_map(|plugin| Schema::new(plugin.schema()).shapes()) {
            known.extend(shape.properties);
            missing.extend(shape.required);
        }
        missing.retain(|key| table.get(key).is_none());
        let (owner, manual) = match plugin {
            Some(plugin) => (
                format!("the {kind} plugin `{}`", plugin.name()),
                Some(format!("`tidegate plugins show {}` lists its options", plugin.name())),
            ),
            None => (format!("`[{kind}.{name}]`"), None),
        };
        Scope { owner, manual, known, missing, source: self.source }
    }

    /// Splits the table into the engine's entries and the plugin's. Engine keys that are misspelt, or of another kind of
    /// component, are reported here.
    fn split(
        &self,
        kind: Kind,
        name: &str,
        plugin: Option<&Plugin>,
        table: &Table,
        checker: &mut Checker<'_>,
    ) -> Split {
        let mut split = Split {
            engine: Table::default(),
            options: Table { has_header: table.has_header, ..Table::default() },
        };
        let shapes = plugin.map(|plugin| Schema::new(plugin.schema()).shapes()).unwrap_or_default();
        let plugin_knows = |key: &str| shapes.iter().any(|shape| shape.get(key).is_some());
        let plugin_takes_any = shapes.iter().any(crate::schema::Shape::takes_any);
        let engine = self.keys(kind).shapes().remove(0);
        for entry in &table.entries {
            let key = entry.key.as_str();
            if engine.get(key).is_some() {
                split.engine.entries.push(entry.clone());
            } else if plugin_knows(key) {
                split.options.entries.push(entry.clone());
            } else if let Some(others) = self.belongs_to(key) {
                checker.diagnostics.push(misplaced(kind, name, entry, &others));
            } else if let Some(meant) = nearest(key, checker.scope.known.iter().map(|(name, _)| *name))
                && engine.get(meant).is_some()
                && table.get(meant).is_none()
                && !plugin_takes_any
            {
                checker.diagnostics.push(checker.unknown_key(entry, [meant], ""));
                split.engine.entries.push(Entry { key: meant.to_owned(), ..entry.clone() });
            } else {
                split.options.entries.push(entry.clone());
            }
        }
        split
    }

    /// The kinds of component that have this key of the engine.
    fn belongs_to(&self, key: &str) -> Option<Vec<Kind>> {
        let kinds: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| self.keys(*kind).shapes()[0].get(key).is_some()).collect();
        (!kinds.is_empty()).then_some(kinds)
    }
}

/// The problem of a component's name.
pub(crate) fn name_problem(entry: &Entry) -> Option<Diagnostic> {
    let rule = names::component_problem(&entry.key)?;
    let message = format!("`{}` cannot be the name of a component", entry.key);
    Some(place(Diagnostic::error("bad-name", message), &entry.origin, "").note(rule))
}
