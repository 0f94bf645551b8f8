//! One component's table: its engine keys, its plugin, its options.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Kind, Plugin, Registry};

use crate::check::{Checker, Scope};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::interpolate::{redact, within};
use crate::keys::{self, EveryKeys, FilterKeys, Isolation, SinkKeys};
use crate::names::{self, listed, nearest, with_article};
use crate::schema::Schema;
use crate::topology::EngineOptions;

/// A component as its table describes it, not yet connected.
pub(crate) struct Draft<'r> {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Where its name stands.
    pub(crate) origin: Origin,
    /// Where its table begins.
    pub(crate) header: Origin,
    pub(crate) enabled: bool,
    pub(crate) plugin: Option<&'r Plugin>,
    pub(crate) options: Value,
    pub(crate) engine: EngineOptions,
    pub(crate) from: From,
    /// The named outputs; `None` if they are not known, because the component cannot be built.
    pub(crate) outputs: Option<Vec<String>>,
}

/// What `from` says.
pub(crate) enum From {
    /// Nothing: the component above feeds it.
    Above,
    /// These names.
    Names(Vec<Name>),
    /// Something that was told to be wrong already.
    Broken,
}

/// A name in `from`.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// Whether it may be shown: nothing in it came from outside.
    pub(crate) shown: bool,
}

/// What all components are read with.
pub(crate) struct Reader<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) source: &'a str,
    /// The engine's keys, by kind.
    pub(crate) schemas: Vec<(Kind, Value)>,
    /// `[pipeline] workers`.
    pub(crate) workers: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(registry: &'a Registry, source: &'a str, workers: usize) -> Self {
        let schemas = Kind::ALL.into_iter().map(|kind| (kind, keys::component_schema(kind))).collect();
        Self { registry, source, schemas, workers }
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
    ) -> Draft<'a> {
        let header = entry.item.origin.clone();
        let mut draft = Draft {
            kind,
            name: entry.key.clone(),
            origin: entry.origin.clone(),
            header: header.clone(),
            enabled: true,
            plugin: self.plugin(kind, table, diagnostics),
            options: Value::Null,
            engine: EngineOptions::default(),
            from: from(table),
            outputs: None,
        };
        let scope = self.scope(&draft, table);
        let mut checker = Checker::new(&scope);
        let (own, rest) = self.split(kind, &draft, table, &mut checker);
        for entry in &own.entries {
            if let Some(schema) = self.keys(kind).shapes()[0].get(&entry.key) {
                checker.value(schema, &entry.item, &entry.key);
            }
        }
        let sound = !has_errors(&checker.diagnostics);
        if sound {
            draft.engine = engine_options(kind, &own, self.workers);
        } else if !matches!(draft.from, From::Above)
            && table.get("from").is_some_and(|from| from.item.is_broken())
        {
            draft.from = From::Broken;
        }
        if let Some(plugin) = draft.plugin {
            checker.table(&Schema::new(plugin.schema()).shapes(), &rest, &header, "");
        }
        self.missing_plugin(table, &header, &draft.name, &mut checker);
        isolation(&own, &mut checker.diagnostics);
        let sound = !has_errors(&checker.diagnostics) && !entry.item.is_broken();
        diagnostics.append(&mut checker.diagnostics);
        if let (true, Some(plugin)) = (sound, draft.plugin) {
            let rest = Item { origin: header, data: Data::Table(rest) };
            draft.options = rest.json();
            match plugin.build(&draft.options) {
                Ok(component) => {
                    draft.outputs = Some(outputs(&component));
                    idle_keys(&component, &draft, &own, diagnostics);
                }
                Err(error) => diagnostics.push(self.refused(&error, &draft.name, plugin, &rest)),
            }
        }
        draft
    }

    fn scope(&self, draft: &Draft<'a>, table: &Table) -> Scope<'_> {
        let (kind, name) = (draft.kind, &draft.name);
        let own = self.keys(kind).shapes().remove(0);
        let (mut known, mut missing) = (own.properties, own.required);
        for shape in draft.plugin.iter().flat_map(|plugin| Schema::new(plugin.schema()).shapes()) {
            known.extend(shape.properties);
            missing.extend(shape.required);
        }
        missing.retain(|key| table.get(key).is_none());
        let (owner, manual) = match draft.plugin {
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
        draft: &Draft<'_>,
        table: &Table,
        checker: &mut Checker<'_>,
    ) -> (Table, Table) {
        let mut own = Table::default();
        let mut rest = Table { has_header: table.has_header, ..Table::default() };
        let plugin_knows = |key: &str| {
            let shapes = draft.plugin.map(|plugin| Schema::new(plugin.schema()).shapes()).unwrap_or_default();
            shapes.iter().any(|shape| shape.get(key).is_some())
        };
        for entry in &table.entries {
            if self.keys(kind).shapes()[0].get(&entry.key).is_some() {
                own.entries.push(entry.clone());
            } else if let (Some(others), false) = (self.belongs_to(&entry.key), plugin_knows(&entry.key)) {
                checker.diagnostics.push(misplaced(kind, &draft.name, entry, &others));
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
        if found.is_none() {
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
            .note("only built-in plugins were looked at: this version loads none from shared libraries")
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

    /// What the plugin itself has to say against its options.
    fn refused(&self, error: &ConfigError, name: &str, plugin: &Plugin, options: &Item) -> Diagnostic {
        let hidden = options.hidden();
        let message = match is_machine_talk(&error.message) {
            false => redact(&error.message, &hidden),
            true => format!("the options of `{name}` do not fit together"),
        };
        let item = match error.pointer.as_str() {
            "" => quoted_option(options, &error.message).unwrap_or(options),
            pointer => options.nearest(pointer),
        };
        let origin = match (&item.data, &error.range) {
            (Data::Text(prose), Some(range)) => {
                within(&item.origin, self.source, prose.written(range.clone()))
            }
            _ => item.origin.clone(),
        };
        let help = error.help.as_deref().map(|help| redact(help, &hidden)).unwrap_or_default();
        let known = error.help.is_some();
        let diagnostic = place(Diagnostic::error("bad-option", message), &origin, help);
        match known {
            true => diagnostic,
            false => diagnostic.note(format!("`tidegate plugins show {}` lists its options", plugin.name())),
        }
    }
}

/// The one option whose text the message quotes.
fn quoted_option<'i>(options: &'i Item, message: &str) -> Option<&'i Item> {
    fn texts<'i>(item: &'i Item, found: &mut Vec<&'i Item>, message: &str) {
        match &item.data {
            Data::Text(prose)
                if !prose.value.is_empty() && message.contains(&format!("`{}`", prose.value)) =>
            {
                found.push(item);
            }
            Data::List(items) => items.iter().for_each(|inner| texts(inner, found, message)),
            Data::Table(table) => table.entries.iter().for_each(|entry| texts(&entry.item, found, message)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    texts(options, &mut found, message);
    if let [only] = found.as_slice() { Some(only) } else { None }
}

/// Whether a message is serde's own rather than the plugin's: it speaks of Rust, not of pipelines.
fn is_machine_talk(message: &str) -> bool {
    const OPENINGS: [&str; 8] = [
        "invalid type:",
        "invalid value:",
        "invalid length",
        "unknown variant",
        "unknown field",
        "missing field",
        "duplicate field",
        "data did not match any variant",
    ];
    OPENINGS.iter().any(|opening| message.starts_with(opening))
}

pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|one| one.severity == Severity::Error)
}

fn from(table: &Table) -> From {
    let Some(entry) = table.get("from") else { return From::Above };
    let name = |item: &Item| match &item.data {
        Data::Text(prose) => Some(Name {
            text: prose.value.clone(),
            origin: item.origin.clone(),
            shown: item.shown().is_some(),
        }),
        _ => None,
    };
    let names = match &entry.item.data {
        // That a list names nothing is told by the schema.
        Data::List(items) if items.is_empty() => None,
        Data::List(items) => items.iter().map(name).collect(),
        _ => name(&entry.item).map(|name| vec![name]),
    };
    names.map_or(From::Broken, From::Names)
}

fn misplaced(kind: Kind, name: &str, entry: &Entry, kinds: &[Kind]) -> Diagnostic {
    let key = &entry.key;
    if key == "from" {
        let message = format!("`{name}` is a source, so nothing feeds it");
        return place(Diagnostic::error("misplaced-key", message), &entry.origin, "remove it");
    }
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind}s")).collect();
    let message = format!("`{key}` belongs to {}, and `{name}` is a {kind}", kinds.join(" and "));
    place(
        Diagnostic::error("misplaced-key", message),
        &entry.origin,
        "remove it, or move it to where it belongs",
    )
}

fn isolation(own: &Table, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entry) = own.get("isolation") else { return };
    if let Ok(Isolation::Thread | Isolation::Process) = serde_json::from_value(entry.item.json()) {
        let message = "a built-in plugin runs inline: other isolation is for plugins from shared libraries";
        let diagnostic = Diagnostic::error("unsupported", message);
        diagnostics.push(place(
            diagnostic,
            &entry.item.origin,
            "write `isolation = \"inline\"`, or leave it out",
        ));
    }
}

/// The engine's options from entries that were checked against the same structs.
fn engine_options(kind: Kind, own: &Table, workers: usize) -> EngineOptions {
    let json = Item { origin: Origin::File(0..0), data: Data::Table(own.clone()) }.json();
    let mut options = EngineOptions::default();
    if let Some(every) = parsed::<EveryKeys>(&json) {
        options.on_reject = every.on_reject;
    }
    match kind {
        Kind::Source => {}
        Kind::Filter => {
            if let Some(keys) = parsed::<FilterKeys>(&json) {
                options.workers = keys.workers.unwrap_or(workers);
                options.retry = keys.retry;
            }
        }
        Kind::Sink => {
            if let Some(keys) = parsed::<SinkKeys>(&json) {
                options.batch = keys.batch;
                options.retry = keys.retry;
                options.concurrency = keys.concurrency;
                options.required = keys.required;
            }
        }
    }
    options
}

fn parsed<T: DeserializeOwned>(json: &Value) -> Option<T> {
    T::deserialize(json).ok()
}

fn outputs(component: &Component) -> Vec<String> {
    match component {
        Component::Filter(filter) => filter.outputs(),
        _ => Vec::new(),
    }
}

/// Engine keys that do nothing for this component.
fn idle_keys(component: &Component, draft: &Draft<'_>, own: &Table, diagnostics: &mut Vec<Diagnostic>) {
    let name = &draft.name;
    let (key, reason) = match component {
        Component::Filter(filter) if draft.engine.workers > 1 && filter.fork().is_none() => (
            "workers",
            format!("what `{name}` does to an event depends on those before it, so it works alone"),
        ),
        Component::AsyncFilter(_) if draft.engine.workers > 1 => {
            ("workers", format!("`{name}` waits more than it works, so it works alone"))
        }
        Component::Sink(sink) if draft.engine.concurrency > 1 && sink.fork().is_none() => {
            ("concurrency", format!("`{name}` can only write one batch at a time"))
        }
        _ => return,
    };
    if let Some(entry) = own.get(key) {
        let diagnostic = Diagnostic::warning("idle-key", format!("`{key}` has no effect: {reason}"));
        diagnostics.push(place(diagnostic, &entry.origin, "leave it out"));
    }
}

/// What is wrong with the component's name, if anything.
pub(crate) fn name_problem(entry: &Entry) -> Option<Diagnostic> {
    let rule = names::component_problem(&entry.key)?;
    let message = format!("`{}` cannot be the name of a component", entry.key);
    Some(place(Diagnostic::error("bad-name", message), &entry.origin, "").note(rule))
}
