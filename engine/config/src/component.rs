//! One component's table: its engine keys, its plugin, its options.

pub(crate) mod build_error;
pub(crate) mod draft;
pub(crate) mod engine_keys;
pub(crate) mod exclusive;
pub(crate) mod libraries;
pub(crate) mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Kind, Plugin, Registry};

use crate::check::{Checker, Scope};
use crate::component::build_error::{doubt, refusal};
use crate::component::draft::{Draft, From};
use crate::component::engine_keys::{engine_options, idle_keys, misplaced};
use crate::component::exclusive::claims;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::keys;
use crate::names::{self, listed, nearest, with_article};
use crate::schema::Schema;
use crate::topology::EngineOptions;

/// What all components are read with.
pub(crate) struct Reader<'a> {
    pub(crate) registry: &'a Registry,
    /// Whether the registry holds all that the file asks for. If something is wrong with its libraries, a plugin that
    /// is not there may be in one of those, and saying so for each use of it would say nothing new.
    pub(crate) whole: bool,
    pub(crate) source: &'a str,
    /// The engine's keys, by kind.
    pub(crate) schemas: Vec<(Kind, Value)>,
    /// `[pipeline] workers`.
    pub(crate) workers: usize,
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
        let plugin = self.plugin(kind, table, diagnostics);
        let mut draft = Draft {
            kind,
            name: entry.key.clone(),
            origin: entry.origin.clone(),
            header: header.clone(),
            enabled: true,
            plugin: None,
            options: Value::Null,
            engine: EngineOptions::default(),
            from: From::of(table),
            outputs: None,
            capabilities: Arc::default(),
            claims: Vec::new(),
        };
        let scope = self.scope(kind, &draft.name, plugin, table);
        let mut checker = Checker::new(&scope);
        let (own, rest) = self.split(kind, &draft.name, plugin, table, &mut checker);
        for entry in &own.entries {
            if let Some(schema) = self.keys(kind).shapes()[0].get(&entry.key) {
                checker.value(schema, &entry.item, &entry.key);
            }
        }
        if !has_errors(&checker.diagnostics) {
            draft.engine = engine_options(kind, &own, self.workers);
        }
        if let Some(plugin) = plugin {
            checker.table(&Schema::new(plugin.schema()).shapes(), &rest, &header, "");
        }
        self.missing_plugin(table, &header, &draft.name, &mut checker);
        draft.plugin = plugin.map(|plugin| libraries::placed(plugin, &own, &mut checker.diagnostics));
        let sound = !has_errors(&checker.diagnostics) && !entry.item.is_broken();
        let missing: Vec<&str> = scope
            .missing
            .iter()
            .copied()
            .filter(|key| self.keys(kind).shapes()[0].get(key).is_none())
            .collect();
        let broken =
            if sound { BTreeSet::new() } else { trial::broken(&rest, &missing, &checker.diagnostics) };
        diagnostics.append(&mut checker.diagnostics);
        if let Some(plugin) = draft.plugin.clone() {
            let rest = Item { origin: header, data: Data::Table(rest) };
            draft.options = rest.json();
            let built = trial::build(&plugin, &rest, broken);
            self.add_built(&mut draft, (&plugin, &rest, &own), built, sound, diagnostics);
        }
        draft
    }

    /// Adds what building the component shows: what it claims, its outputs, and its problems and doubts. Unless its
    /// keys are `sound`, only claims and problems are known.
    fn add_built(
        &self,
        draft: &mut Draft,
        (plugin, rest, own): (&Plugin, &Item, &Table),
        built: Result<Component, Vec<ConfigError>>,
        sound: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        match built {
            Ok(mut component) => {
                let capabilities = component.capabilities();
                draft.claims = claims(&draft.name, &capabilities, rest);
                if sound {
                    draft.outputs = Some(capabilities.outputs.clone());
                    let doubts = capabilities.warnings.iter();
                    diagnostics.extend(doubts.map(|one| doubt(one, &draft.name, plugin, rest, self.source)));
                    idle_keys(&capabilities, draft, own, diagnostics);
                }
                draft.capabilities = Arc::new(capabilities);
            }
            Err(problems) => diagnostics.extend(
                problems
                    .iter()
                    // After a problem with the schema, one with the whole says the same again.
                    .filter(|one| sound || !one.pointer.is_empty())
                    .map(|one| refusal(one, &draft.name, plugin, rest, self.source)),
            ),
        }
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

    /// The engine's entries and the plugin's. Engine keys of another kind are told and left out.
    fn split(
        &self,
        kind: Kind,
        name: &str,
        plugin: Option<&Plugin>,
        table: &Table,
        checker: &mut Checker<'_>,
    ) -> (Table, Table) {
        let mut own = Table::default();
        let mut rest = Table { has_header: table.has_header, ..Table::default() };
        let plugin_knows = |key: &str| {
            let shapes = plugin.map(|plugin| Schema::new(plugin.schema()).shapes()).unwrap_or_default();
            shapes.iter().any(|shape| shape.get(key).is_some())
        };
        for entry in &table.entries {
            if self.keys(kind).shapes()[0].get(&entry.key).is_some() {
                own.entries.push(entry.clone());
            } else if let (Some(others), false) = (self.belongs_to(&entry.key), plugin_knows(&entry.key)) {
                checker.diagnostics.push(misplaced(kind, name, entry, &others));
            } else {
                rest.entries.push(entry.clone());
            }
        }
        (own, rest)
    }

    /// The kinds of component that have this key of the engine.
    fn belongs_to(&self, key: &str) -> Option<Vec<Kind>> {
        let kinds: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| self.keys(*kind).shapes()[0].get(key).is_some()).collect();
        (!kinds.is_empty()).then_some(kinds)
    }

    /// The plugin that the table names, if it does and there is such a plugin.
    fn plugin(&self, kind: Kind, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> Option<&'a Plugin> {
        let entry = table.get("plugin")?;
        let Data::Text(prose) = &entry.item.data else { return None };
        let found = self.registry.get(kind, &prose.value);
        if found.is_none() && self.whole {
            diagnostics.push(self.unknown_plugin(kind, &entry.item));
        }
        found
    }

    fn unknown_plugin(&self, kind: Kind, item: &Item) -> Diagnostic {
        let Some(name) = item.shown() else {
            let message = format!("there is no {kind} plugin of the name that stands for this");
            return place(Diagnostic::error("unknown-plugin", message), &item.origin, "");
        };
        let known = self.registry.iter().filter(|plugin| plugin.kind() == kind).map(Plugin::name);
        let known: Vec<&str> = known.collect();
        let others: Vec<String> = self
            .registry
            .iter()
            .filter(|plugin| plugin.name() == name)
            .map(|plugin| plugin.kind().to_string())
            .collect();
        let message = format!("there is no {kind} plugin `{name}`");
        let diagnostic = Diagnostic::error("unknown-plugin", message);
        let label = match (others.as_slice(), nearest(name, known.iter().copied())) {
            ([], Some(near)) => format!("did you mean `{near}`?"),
            ([], None) => String::new(),
            (kinds, _) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| with_article(kind)).collect();
                format!("`{name}` is {}, not {}", kinds.join(" and "), with_article(kind.name()))
            }
        };
        place(diagnostic, &item.origin, label)
            .note(format!("the {kind} plugins are {}", listed(known, "and")))
            .note("built-in plugins were looked at, and those of `[plugins] libraries` and of `--plugin`")
    }

    fn missing_plugin(&self, table: &Table, header: &Origin, name: &str, checker: &mut Checker<'_>) {
        if table.get("plugin").is_some() {
            return;
        }
        let below = table.entries.iter().filter_map(|entry| Some((entry, entry.item.table()?)));
        let trapped = below
            .filter(|(_, inner)| inner.has_header)
            .find_map(|(entry, inner)| inner.get("plugin").map(|plugin| (plugin, &entry.item.origin)));
        match trapped {
            Some((plugin, origin)) => checker.swallow(plugin, origin, true),
            None => {
                let message = format!("`{name}` does not say which plugin it is");
                let diagnostic =
                    place(Diagnostic::error("missing-key", message), header, "add `plugin = \"...\"`");
                checker.diagnostics.push(diagnostic.note("`tidegate plugins` lists the plugins"));
            }
        }
    }
}

/// What is wrong with the component's name, if anything.
pub(crate) fn name_problem(entry: &Entry) -> Option<Diagnostic> {
    let rule = names::component_problem(&entry.key)?;
    let message = format!("`{}` cannot be the name of a component", entry.key);
    Some(place(Diagnostic::error("bad-name", message), &entry.origin, "").note(rule))
}
