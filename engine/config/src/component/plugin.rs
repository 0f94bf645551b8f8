//! Finds the plugin that a component names.

use tidegate_sdk::{Kind, Plugin};

use crate::check::Checker;
use crate::component::Reader;
use crate::diagnostic::Diagnostic;
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::names::{listed, nearest, with_article};

/// The entry `plugin` of a component, or the one that is a misspelt `plugin`.
pub(super) fn misspelt_plugin(table: &Table) -> Option<&Entry> {
    let is_text = |entry: &&Entry| matches!(entry.item.data, Data::Text(_));
    let misspelt = |entry: &&Entry| is_text(entry) && nearest(&entry.key, ["plugin"]).is_some();
    table.get("plugin").or_else(|| table.entries.iter().find(misspelt))
}

impl<'a> Reader<'a> {
    /// The plugin that the entry names, if there is one.
    pub(super) fn plugin(
        &self,
        kind: Kind,
        entry: Option<&Entry>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a Plugin> {
        let item = &entry?.item;
        let Data::Text(text) = &item.data else { return None };
        let found = self.registry.get(kind, &text.value);
        if found.is_none() && self.whole {
            diagnostics.push(self.unknown_plugin(kind, item));
        }
        found
    }

    fn unknown_plugin(&self, kind: Kind, item: &Item) -> Diagnostic {
        let Some(name) = item.shown() else {
            let message = format!("there is no {kind} plugin with the name that this text stands for");
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
            .note("these are the built-in plugins, and those of `[plugins] libraries` and `--plugin`")
    }

    /// Reports a component without `plugin`.
    pub(super) fn missing_plugin(
        &self,
        table: &Table,
        header: &Origin,
        name: &str,
        checker: &mut Checker<'_>,
    ) {
        let below = table.entries.iter().filter_map(|entry| Some((entry, entry.item.table()?)));
        let trapped = below
            .filter(|(_, inner)| inner.has_header)
            .find_map(|(entry, inner)| inner.get("plugin").map(|plugin| (plugin, &entry.item.origin)));
        match trapped {
            Some((plugin, origin)) => checker.swallow(plugin, origin, true),
            None => {
                let message = format!("`{name}` has no `plugin`");
                let diagnostic =
                    place(Diagnostic::error("missing-key", message), header, "add `plugin = \"...\"`");
                checker.diagnostics.push(diagnostic.note("`tidegate plugins` lists the plugins"));
            }
        }
    }
}
