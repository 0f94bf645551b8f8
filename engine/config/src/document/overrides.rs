//! Values that replace those in the file: `--set NAME.KEY=VALUE`.

use toml::de::DeValue;

use crate::diagnostic::Diagnostic;
use crate::document::{self, Data, Entry, Item, Origin, Table, TextValue};
use crate::names::{listed, nearest};

/// A key of a component (or of `[pipeline]`) that is set from outside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The component's name, or `pipeline`.
    pub component: String,
    /// The key; dots reach into tables, `retry.base`.
    pub key: String,
    /// The value as TOML writes it. A value that is not TOML is text.
    pub value: String,
}

impl Override {
    /// Reads `NAME.KEY=VALUE`.
    ///
    /// ```
    /// let set = tidegate_config::Override::parse("stream.retry.base=1s").unwrap();
    /// assert_eq!((&*set.component, &*set.key, &*set.value), ("stream", "retry.base", "1s"));
    /// ```
    ///
    /// # Errors
    /// The right form. The message does not show the value, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, value) = text.split_once('=').unwrap_or((text, ""));
        let problem = || format!("`{path}` is not an override; write it like `NAME.KEY=VALUE`");
        let (component, key) = path.trim().split_once('.').ok_or_else(problem)?;
        let empty = component.is_empty() || key.split('.').any(str::is_empty);
        if empty || !text.contains('=') {
            return Err(problem());
        }
        Ok(Self { component: component.to_owned(), key: key.to_owned(), value: value.trim().to_owned() })
    }

    fn path(&self) -> String {
        format!("{}.{}", self.component, self.key)
    }

    fn item(&self) -> Item {
        let origin = Origin::Set(self.path());
        let item = DeValue::parse(&self.value).ok().map(|parsed| {
            // A value with an error (a number too large) is text, and its schema reports that.
            let mut problems = Vec::new();
            document::item(&parsed, &self.value, &mut problems)
        });
        let mut item = item
            .filter(|item| !item.is_broken() && !matches!(item.data, Data::Date(_)))
            .unwrap_or_else(|| {
                let prose = TextValue { value: self.value.clone(), ..TextValue::default() };
                Item { origin: origin.clone(), data: Data::Text(prose) }
            });
        relocate(&mut item, &origin);
        item
    }
}

/// Sets the origin of everything in `item`.
fn relocate(item: &mut Item, origin: &Origin) {
    item.origin = origin.clone();
    match &mut item.data {
        Data::List(items) => items.iter_mut().for_each(|inner| relocate(inner, origin)),
        Data::Table(table) => {
            for entry in &mut table.entries {
                entry.origin = origin.clone();
                relocate(&mut entry.item, origin);
            }
        }
        _ => {}
    }
}

/// Applies the overrides to the tree of the file.
pub(crate) fn apply(root: &mut Table, overrides: &[Override], diagnostics: &mut Vec<Diagnostic>) {
    for one in overrides {
        let item = one.item();
        match target(root, &one.component) {
            Some(table) => {
                if let Err(message) = set(table, &one.key, item) {
                    let message = format!("`--set {}` has no place: {message}", one.path());
                    diagnostics.push(Diagnostic::error("bad-override", message));
                }
            }
            None => diagnostics.push(unknown(root, one)),
        }
    }
}

fn kinds(root: &Table) -> impl Iterator<Item = &Entry> {
    root.entries.iter().filter(|entry| matches!(entry.key.as_str(), "source" | "filter" | "sink"))
}

fn names(root: &Table) -> Vec<&str> {
    let components = kinds(root).filter_map(|entry| entry.item.table()).flat_map(|table| &table.entries);
    components.map(|entry| entry.key.as_str()).collect()
}

fn unknown(root: &Table, one: &Override) -> Diagnostic {
    let names = names(root);
    let message = format!("`--set {}` names no component of this file", one.path());
    let diagnostic = Diagnostic::error("unknown-override", message);
    match nearest(&one.component, names.iter().copied()) {
        Some(name) => diagnostic.note(format!("did you mean `{name}.{}`?", one.key)),
        None => diagnostic.note(format!("the file has {}", listed(names, "and"))),
    }
}

/// The table of a component, or `[pipeline]`, which need not be in the file.
fn target<'a>(root: &'a mut Table, component: &str) -> Option<&'a mut Table> {
    if component == "pipeline" {
        let table = Item { origin: Origin::Set("pipeline".to_owned()), data: Data::Table(Table::default()) };
        let item = match root.entries.iter().position(|entry| entry.key == "pipeline") {
            Some(index) => &mut root.entries[index].item,
            None => root.insert("pipeline", table),
        };
        return inner_table(item);
    }
    let is_kind = |entry: &&mut Entry| matches!(entry.key.as_str(), "source" | "filter" | "sink");
    let tables = root.entries.iter_mut().filter(is_kind).filter_map(|entry| inner_table(&mut entry.item));
    let mut components = tables.flat_map(|table| table.entries.iter_mut());
    components.find(|entry| entry.key == component).and_then(|entry| inner_table(&mut entry.item))
}

fn inner_table(item: &mut Item) -> Option<&mut Table> {
    match &mut item.data {
        Data::Table(table) => Some(table),
        _ => None,
    }
}

fn set(table: &mut Table, key: &str, item: Item) -> Result<(), String> {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key, item);
        return Ok(());
    };
    let index = match table.entries.iter().position(|entry| entry.key == first) {
        Some(index) => index,
        None => {
            table.insert(first, Item { origin: item.origin.clone(), data: Data::Table(Table::default()) });
            table.entries.len() - 1
        }
    };
    match inner_table(&mut table.entries[index].item) {
        Some(inner) => set(inner, rest, item),
        None => Err(format!("`{first}` is not a table")),
    }
}
