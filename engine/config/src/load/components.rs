//! The components of a file, in the order of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_sdk::Kind;

use crate::component::draft::{Draft, From};
use crate::component::{Reader, name_problem};
use crate::diagnostic::Diagnostic;
use crate::document::interpolate::interpolate;
use crate::document::syntax::Unparsed;
use crate::document::{Data, Entry, Origin, Table, place};
use crate::environment::Environment;
use crate::keys::EngineOptions;

/// Reads every component.
pub(super) struct Components<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) environment: &'a Environment<'a>,
    pub(super) unparsed: Unparsed,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Components<'_> {
    pub(super) fn read(&mut self, root: &mut Table) -> Vec<Draft> {
        let mut entries: Vec<(Kind, &mut Entry)> = Vec::new();
        for group in &mut root.entries {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == group.key) else { continue };
            if group.item.table().is_none() {
                self.without_name(kind, group);
            } else if let Data::Table(table) = &mut group.item.data {
                entries.extend(table.entries.iter_mut().map(|entry| (kind, entry)));
            }
        }
        entries.sort_by_key(|(_, entry)| entry.origin.position());
        let mut drafts: Vec<Draft> = Vec::new();
        let mut names: BTreeMap<String, Origin> = BTreeMap::new();
        for (kind, entry) in entries {
            let Some(draft) = self.draft(kind, entry) else { continue };
            match names.get(&draft.name) {
                Some(first) => self.diagnostics.push(duplicate(&draft, first)),
                None => drop(names.insert(draft.name.clone(), draft.origin.clone())),
            }
            drafts.push(draft);
        }
        self.ends(&drafts);
        drafts
    }

    fn draft(&mut self, kind: Kind, entry: &mut Entry) -> Option<Draft> {
        self.single_table(kind, entry);
        match &entry.item.data {
            Data::Table(table) => {
                self.diagnostics.extend(name_problem(entry));
                if matches!(table.get("enabled").map(|entry| &entry.item.data), Some(Data::Boolean(false))) {
                    return Some(disabled(kind, entry, table));
                }
            }
            Data::Broken => return None,
            _ => {
                self.without_name(kind, entry);
                return None;
            }
        }
        let source = self.reader.source;
        interpolate(&mut entry.item, source, self.environment, &mut self.diagnostics);
        let table = entry.item.table()?;
        Some(self.reader.read(kind, entry, table, &mut self.diagnostics))
    }

    /// Reports a list of tables, `[[sink.x]]`, and puts its first table in its place, so that this is checked too.
    fn single_table(&mut self, kind: Kind, entry: &mut Entry) {
        let Data::List(items) = &mut entry.item.data else { return };
        let name = &entry.key;
        let message = format!("`{name}` is a list of tables, and a component is one table");
        let label = format!("write `[{kind}.{name}]` with single brackets");
        self.diagnostics.push(place(Diagnostic::error("wrong-type", message), &entry.origin, label));
        let first = items.drain(..).next().filter(|item| item.table().is_some());
        match first {
            Some(first) => entry.item = first,
            None => {
                entry.item.data = Data::Broken;
                self.unparsed = self.unparsed.max(Unparsed::Components);
            }
        }
    }

    fn without_name(&mut self, kind: Kind, entry: &Entry) {
        self.unparsed = self.unparsed.max(Unparsed::Components);
        let key = &entry.key;
        let message = format!("`{key}` is outside of a component, whose table has a name: `[{kind}.NAME]`");
        let label = format!("write it below `[{kind}.NAME]`");
        self.diagnostics.push(place(Diagnostic::error("bad-name", message), &entry.origin, label));
    }

    /// Reports a pipeline without a source or without a sink.
    fn ends(&mut self, drafts: &[Draft]) {
        for (kind, code, purpose) in
            [(Kind::Source, "no-source", "reads the events"), (Kind::Sink, "no-sink", "writes the events")]
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
                    .note(format!("a {kind} {purpose}: add `[{kind}.NAME]` with its `plugin`")),
            };
            self.diagnostics.push(diagnostic);
        }
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
        is_known: false,
        claims: Vec::new(),
    }
}

fn duplicate(draft: &Draft, first: &Origin) -> Diagnostic {
    let name = &draft.name;
    let message = format!("two components have the name `{name}`");
    let diagnostic = place(Diagnostic::error("duplicate-name", message), &draft.origin, "rename this one");
    let diagnostic = match first.range() {
        Some(range) => diagnostic.also(range, "the first is here"),
        None => diagnostic,
    };
    diagnostic.note("sources, filters and sinks share one set of names")
}
