//! The front door: from the text of a file to a pipeline, or to all that is wrong with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tidegate_sdk::{Kind, Registry, Size};
use toml::de::DeTable;

use crate::check::{Checker, Scope};
use crate::component::draft::{Draft, From};
use crate::component::exclusive::Claimed;
use crate::component::libraries;
use crate::component::{Reader, name_problem};
use crate::diagnostic::{BYTE_ORDER_MARK, Diagnostic, has_errors};
use crate::document::interpolate::interpolate;
use crate::document::overrides::{self, Override};
use crate::document::syntax::{self, Unparsed};
use crate::document::{self, Data, Entry, Origin, Table, place};
use crate::environment::Environment;
use crate::graph::guarantee::{Promise, guarantees};
use crate::graph::{self, answers, wiring};
use crate::keys::{self, PipelineKeys};
use crate::names::{nearest, pipeline_problem};
use crate::schema::Schema;
use crate::text::Text;
use crate::topology::{Delivery, EngineOptions, Pipeline, Settings};

/// What became of a file.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline, unless there is an error.
    pub pipeline: Option<Pipeline>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Resources that no component of another file can use either: see [`crate::collisions`].
    pub claims: Vec<Claimed>,
}

/// How many diagnostics are told at once.
const MOST_DIAGNOSTICS: usize = 100;

/// Reads a pipeline file: parses it, puts the overrides and the environment in, checks every key, builds
/// every component once and connects them.
pub fn load(
    text: &Text,
    registry: &Registry,
    environment: &Environment<'_>,
    overrides: &[Override],
) -> Loaded {
    let mut load = Load {
        text,
        registry,
        environment,
        diagnostics: Vec::new(),
        claims: Vec::new(),
        unparsed: Unparsed::None,
    };
    let pipeline = load.run(overrides);
    let mut diagnostics = load.diagnostics;
    syntax::settle(&mut diagnostics, &text.text, load.unparsed);
    let failed = has_errors(&diagnostics);
    let position = |one: &Diagnostic| one.label.as_ref().map_or(usize::MAX, |label| label.range.start);
    diagnostics.sort_by_key(position);
    if diagnostics.len() > MOST_DIAGNOSTICS {
        let more = diagnostics.len() - MOST_DIAGNOSTICS;
        diagnostics.truncate(MOST_DIAGNOSTICS);
        diagnostics.push(Diagnostic::error("more", format!("there are {more} more problems")));
    }
    Loaded { pipeline: pipeline.filter(|_| !failed), diagnostics, claims: load.claims }
}

struct Load<'a> {
    text: &'a Text,
    registry: &'a Registry,
    environment: &'a Environment<'a>,
    diagnostics: Vec<Diagnostic>,
    claims: Vec<Claimed>,
    unparsed: Unparsed,
}

impl<'a> Load<'a> {
    fn run(&mut self, overrides: &[Override]) -> Option<Pipeline> {
        let source = self.text.text.as_str();
        if source.trim_start_matches(BYTE_ORDER_MARK).trim().is_empty() {
            let note =
                "a pipeline has at least a `[source.NAME]` and a `[sink.NAME]`, each with its `plugin`";
            self.diagnostics.push(Diagnostic::error("empty", "the file is empty").note(note));
            return None;
        }
        let (parsed, errors) = DeTable::parse_recoverable(source);
        if !errors.is_empty() {
            self.unparsed = Unparsed::Anything;
            self.diagnostics.extend(syntax::diagnostics(&errors, source));
        }
        let mut root = document::table(parsed.get_ref(), source, &mut self.diagnostics);
        overrides::apply(&mut root, overrides, &mut self.diagnostics);
        let keys = self.pipeline_keys(&mut root);
        let keys_are_sound = !has_errors(&self.diagnostics);
        let before = self.diagnostics.len();
        let registry = self.plugins_table(&mut root);
        let whole = !has_errors(&self.diagnostics[before..]);
        self.unknown_tables(&root);

        let reader = Reader::new(&registry, whole, source, keys.workers.unwrap_or(1));
        let drafts = self.drafts(&mut root, &reader);
        self.ends(&drafts);
        let before = self.diagnostics.len();
        let wiring = wiring::connect(&drafts, &mut self.diagnostics);
        self.claims = claims(&drafts, &wiring.feeds);
        wiring.unread(&drafts, &mut self.diagnostics);
        graph::cycles(&drafts, &wiring.feeds, &mut self.diagnostics);
        let is_connected = !has_errors(&self.diagnostics[before..]);
        let is_built = drafts.iter().all(|draft| !draft.enabled || draft.outputs.is_some());
        if !(keys_are_sound && is_connected && is_built) {
            return None;
        }
        let graphs = graph::graphs(&drafts, &wiring.feeds);
        self.diagnostics.extend(answers::unpaired(&graphs, &drafts));
        let pipeline = self.pipeline(keys, graphs);
        self.delivery(&pipeline, &root);
        Some(pipeline)
    }

    /// The keys of `[pipeline]`, as far as they are sound.
    fn pipeline_keys(&mut self, root: &mut Table) -> PipelineKeys {
        let none =
            || PipelineKeys { drain_timeout: Settings::default().drain_timeout, ..PipelineKeys::default() };
        let Some(entry) = root.entries.iter_mut().find(|entry| entry.key == "pipeline") else {
            return none();
        };
        interpolate(&mut entry.item, &self.text.text, self.environment, &mut self.diagnostics);
        let before = self.diagnostics.len();
        self.engine_table(entry, &keys::pipeline_schema());
        for key in ["name", "id"] {
            let item = entry.item.table().and_then(|table| table.get(key)).map(|entry| &entry.item);
            let Some((item, Data::Text(prose))) = item.map(|item| (item, &item.data)) else { continue };
            if let Some(rule) = pipeline_problem(&prose.value) {
                let message = match item.shown() {
                    Some(text) => format!("`{text}` cannot be the {key} of a pipeline"),
                    None => format!("the {key} of the pipeline is not one that it can have"),
                };
                self.diagnostics
                    .push(place(Diagnostic::error("bad-name", message), &item.origin, "").note(rule));
            }
        }
        if self.diagnostics.len() > before || entry.item.is_broken() {
            return none();
        }
        PipelineKeys::deserialize(entry.item.json()).unwrap_or_else(|_| none())
    }

    fn engine_table(&mut self, entry: &Entry, schema: &serde_json::Value) {
        let Some(table) = entry.item.table() else {
            let message = format!("`{}` must be a table", entry.key);
            let label = format!("write it as `[{}]`, with its keys below", entry.key);
            self.diagnostics.push(place(Diagnostic::error("wrong-type", message), &entry.item.origin, label));
            return;
        };
        let scope = Scope {
            owner: format!("`[{}]`", entry.key),
            manual: None,
            known: Schema::new(schema).shapes().remove(0).properties,
            missing: Vec::new(),
            source: &self.text.text,
        };
        let mut checker = Checker::new(&scope);
        checker.table(&Schema::new(schema).shapes(), table, &entry.item.origin, "");
        self.diagnostics.append(&mut checker.diagnostics);
    }

    /// Every plugin that the file may use.
    fn plugins_table(&mut self, root: &mut Table) -> Cow<'a, Registry> {
        let Some(entry) = root.entries.iter_mut().find(|entry| entry.key == "plugins") else {
            return Cow::Borrowed(self.registry);
        };
        interpolate(&mut entry.item, &self.text.text, self.environment, &mut self.diagnostics);
        let before = self.diagnostics.len();
        self.engine_table(entry, &keys::plugins_schema());
        let libraries = entry.item.table().and_then(|table| table.get("libraries"));
        match libraries {
            Some(libraries) if self.diagnostics.len() == before && !entry.item.is_broken() => {
                libraries::registry(self.registry, &libraries.item, self.environment, &mut self.diagnostics)
            }
            _ => Cow::Borrowed(self.registry),
        }
    }

    fn unknown_tables(&mut self, root: &Table) {
        const KNOWN: [&str; 5] = ["source", "filter", "sink", "pipeline", "plugins"];
        for entry in root.entries.iter().filter(|entry| !KNOWN.contains(&entry.key.as_str())) {
            let meant = match entry.key.to_lowercase().as_str() {
                "transform" | "transforms" | "processor" | "processors" | "operator" | "operators"
                | "map" => "filter",
                "input" | "inputs" | "producer" => "source",
                "output" | "outputs" | "destination" | "target" | "consumer" => "sink",
                other => nearest(other, KNOWN).unwrap_or_default(),
            };
            if Kind::ALL.iter().any(|kind| kind.name() == meant) {
                self.unparsed = self.unparsed.max(Unparsed::Components);
            }
            let (what, label) = match (entry.item.table(), meant) {
                (Some(_), "") => ("table", String::new()),
                (Some(_), meant) => ("table", format!("did you mean `{meant}`?")),
                (None, _) => ("key", String::new()),
            };
            let message = match what {
                "table" => format!("a pipeline file has no table `{}`", entry.key),
                _ => format!("`{}` stands outside of any table", entry.key),
            };
            let diagnostic = place(Diagnostic::error("unknown-table", message), &entry.origin, label);
            let note =
                "a file has `[source.NAME]`, `[filter.NAME]`, `[sink.NAME]`, `[pipeline]` and `[plugins]`";
            self.diagnostics.push(diagnostic.note(note));
        }
    }

    /// Every component, in the order of the file.
    fn drafts<'r>(&mut self, root: &mut Table, reader: &'r Reader<'r>) -> Vec<Draft> {
        let mut entries: Vec<(Kind, &mut Entry)> = Vec::new();
        for group in &mut root.entries {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == group.key) else { continue };
            if group.item.table().is_none() {
                self.no_name(kind, group);
            } else if let Data::Table(table) = &mut group.item.data {
                entries.extend(table.entries.iter_mut().map(|entry| (kind, entry)));
            }
        }
        entries.sort_by_key(|(_, entry)| entry.origin.position());
        let mut drafts: Vec<Draft> = Vec::new();
        let mut names: BTreeMap<String, Origin> = BTreeMap::new();
        for (kind, entry) in entries {
            let Some(draft) = self.draft(kind, entry, reader) else { continue };
            match names.get(&draft.name) {
                Some(first) => self.diagnostics.push(duplicate(&draft, first)),
                None => drop(names.insert(draft.name.clone(), draft.origin.clone())),
            }
            drafts.push(draft);
        }
        drafts
    }

    fn draft<'r>(&mut self, kind: Kind, entry: &mut Entry, reader: &'r Reader<'r>) -> Option<Draft> {
        match &entry.item.data {
            Data::Table(table) => {
                self.diagnostics.extend(name_problem(entry));
                if matches!(table.get("enabled").map(|entry| &entry.item.data), Some(Data::Boolean(false))) {
                    return Some(disabled(kind, entry, table));
                }
            }
            Data::List(_) => {
                let name = &entry.key;
                let message = format!("`{name}` is a list of tables, and a component is one table");
                let label = format!("write `[{kind}.{name}]` with single brackets");
                let diagnostic = Diagnostic::error("wrong-type", message);
                self.diagnostics.push(place(diagnostic, &entry.origin, label));
                self.unparsed = self.unparsed.max(Unparsed::Components);
                return None;
            }
            Data::Broken => return None,
            _ => {
                self.no_name(kind, entry);
                return None;
            }
        }
        interpolate(&mut entry.item, &self.text.text, self.environment, &mut self.diagnostics);
        let table = entry.item.table()?;
        Some(reader.read(kind, entry, table, &mut self.diagnostics))
    }

    fn no_name(&mut self, kind: Kind, entry: &Entry) {
        self.unparsed = self.unparsed.max(Unparsed::Components);
        let message =
            format!("`{}` stands outside of a component, whose table has a name: `[{kind}.NAME]`", entry.key);
        let label = format!("write it below `[{kind}.NAME]`");
        self.diagnostics.push(place(Diagnostic::error("bad-name", message), &entry.origin, label));
    }

    /// A pipeline has a source and a sink.
    fn ends(&mut self, drafts: &[Draft]) {
        for (kind, code, purpose) in
            [(Kind::Source, "no-source", "events come from"), (Kind::Sink, "no-sink", "events go to")]
        {
            let mut of_kind = drafts.iter().filter(|draft| draft.kind == kind);
            if of_kind.clone().any(|draft| draft.enabled) {
                continue;
            }
            let diagnostic = match of_kind.next() {
                Some(draft) => {
                    let message = format!("every {kind} of the pipeline is disabled");
                    place(Diagnostic::error(code, message), &draft.header, "enable one")
                }
                None => Diagnostic::error(code, format!("the pipeline has no {kind}"))
                    .note(format!("a {kind} is where {purpose}: `[{kind}.NAME]` with its `plugin`")),
            };
            self.diagnostics.push(diagnostic);
        }
    }

    fn pipeline(&mut self, keys: PipelineKeys, graphs: Vec<crate::Graph>) -> Pipeline {
        let default = Settings::default();
        let smaller = keys.memory.map_or(default.event_size, |memory: Size| memory.min(default.event_size));
        let name = keys.name.unwrap_or_else(|| stem(&self.text.path));
        if let Some(rule) = pipeline_problem(&name) {
            let message = format!("`{name}`, the name of the file, cannot be the name of the pipeline");
            let note = "give it one: `[pipeline]` with `name = \"...\"`, or rename the file";
            self.diagnostics.push(Diagnostic::error("bad-name", message).note(rule).note(note));
        }
        let settings = Settings {
            delivery: keys.delivery,
            memory: keys.memory,
            event_size: keys.event_size.unwrap_or(smaller),
            drain_timeout: keys.drain_timeout,
            dead_letters: keys.dead_letters,
        };
        Pipeline {
            file: self.text.path.clone(),
            id: keys.id.unwrap_or_else(|| name.clone()),
            name,
            settings,
            graphs,
        }
    }

    /// Refuses what cannot be promised, and says why for each lane.
    fn delivery(&mut self, pipeline: &Pipeline, root: &Table) {
        const MOST_LANES: usize = 8;
        let table = root.get("pipeline").and_then(|entry| entry.item.table());
        let entry = table.and_then(|table| table.get("delivery"));
        let (Delivery::EffectivelyOnce, Some(entry)) = (pipeline.settings.delivery, entry) else { return };
        let all = pipeline.graphs.iter().flat_map(|graph| guarantees(graph, Delivery::EffectivelyOnce));
        let less: Vec<_> = all.filter(|lane| lane.promise != Promise::EffectivelyOnce).collect();
        if less.is_empty() {
            return;
        }
        let message = "`effectively_once` cannot hold for every lane of this file";
        let diagnostic = Diagnostic::error("delivery", message);
        let help = "write `at_least_once`, or move what can be more into a file of its own";
        let mut diagnostic = place(diagnostic, &entry.item.origin, help);
        for lane in less.iter().take(MOST_LANES) {
            let reason = lane.reason.as_deref().unwrap_or_default();
            let text =
                format!("from `{}` to `{}`: {}: {reason}", lane.source, lane.sink, lane.promise.as_str());
            diagnostic = diagnostic.note(text);
        }
        if less.len() > MOST_LANES {
            diagnostic = diagnostic.note(format!("and {} lanes more", less.len() - MOST_LANES));
        }
        self.diagnostics.push(diagnostic);
    }
}

fn disabled(kind: Kind, entry: &Entry, table: &Table) -> Draft {
    Draft {
        kind,
        name: entry.key.clone(),
        origin: entry.origin.clone(),
        header: entry.item.origin.clone(),
        enabled: false,
        plugin: None,
        options: serde_json::Value::Null,
        engine: EngineOptions::default(),
        from: if table.get("from").is_some() { From::Broken } else { From::Above },
        outputs: None,
        capabilities: Arc::default(),
        claims: Vec::new(),
    }
}

fn duplicate(draft: &Draft, first: &Origin) -> Diagnostic {
    let message = format!("the name `{}` is taken", draft.name);
    let diagnostic =
        place(Diagnostic::error("duplicate-name", message), &draft.origin, "choose another name");
    let diagnostic = match first.range() {
        Some(range) => diagnostic.also(range, "it is used here"),
        None => diagnostic,
    };
    diagnostic.note("a name is unique in the file, across sources, filters and sinks")
}

/// The file's name without its folder and ending.
fn stem(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".toml").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;

/// Returns the claims of all components, those on input with the components that get it.
fn claims(drafts: &[Draft], feeds: &[Vec<wiring::Feed>]) -> Vec<Claimed> {
    let mut claims = Vec::new();
    for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| !draft.claims.is_empty()) {
        let downstream = graph::downstream(feeds, index);
        for claim in &draft.claims {
            let mut claim = claim.clone();
            claim.set_downstream(downstream.iter().map(|node| drafts[*node].name.clone()).collect());
            claims.push(claim);
        }
    }
    claims
}
