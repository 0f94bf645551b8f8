//! Faults of an options table, and a copy of the table without them.
//!
//! A plugin can be built only from options that fit its schema. To find its other problems in the same run, it is built
//! from a repaired copy.

use serde_json::Value;

use crate::document::{Data, Entry, Item, Origin, Table, TextValue};

/// A fault at one place of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The key that is renamed or removed, the value that is replaced, or the table that gets a key.
    pub(crate) origin: Origin,
    pub(crate) repair: Repair,
}

/// The repair of a fault.
#[derive(Clone, Debug)]
pub(crate) enum Repair {
    /// The key is misspelt.
    Rename(String),
    /// The key is unknown.
    Remove,
    /// The value is wrong.
    Replace {
        /// A right value, if one is known.
        sample: Option<Value>,
        /// True for a key that the table needs.
        required: bool,
        /// True for a value that selects a mode of the plugin, rather than a limit or a name.
        is_mode: bool,
    },
    /// A key is missing.
    Insert { key: String, sample: Option<Value> },
}

impl Repair {
    pub(super) fn require(&mut self) {
        if let Self::Replace { required, .. } = self {
            *required = true;
        }
    }

    /// Returns true if the repair may change the mode of the plugin.
    pub(crate) fn is_mode(&self) -> bool {
        match self {
            Self::Rename(_) => false,
            Self::Remove | Self::Insert { .. } => true,
            Self::Replace { is_mode, .. } => *is_mode,
        }
    }
}

/// Repairs a tree.
pub(crate) struct Repaired<'a> {
    pub(crate) faults: &'a [Fault],
    /// Replaces optional values by samples, rather than removing them.
    pub(crate) samples: bool,
    /// JSON pointers to the values that are not the user's.
    pub(crate) invented: Vec<String>,
}

impl<'a> Repaired<'a> {
    pub(crate) fn new(faults: &'a [Fault], samples: bool) -> Self {
        Self { faults, samples, invented: Vec::new() }
    }

    /// The repaired copy of `item`, whose JSON pointer is `pointer`. `None` if it must be left out.
    pub(crate) fn item(&mut self, item: &Item, pointer: &str, needed: bool) -> Option<Item> {
        for fault in self.faults.iter().filter(|fault| fault.origin == item.origin) {
            let Repair::Replace { sample, required, .. } = &fault.repair else { continue };
            self.invented.push(pointer.to_owned());
            let sample = sample.as_ref().filter(|_| self.samples || needed || *required)?;
            return Some(of_json(sample, &item.origin));
        }
        let data = match &item.data {
            Data::List(items) => {
                let items = items.iter().enumerate();
                let all: Option<Vec<Item>> =
                    items.map(|(at, inner)| self.item(inner, &format!("{pointer}/{at}"), true)).collect();
                Data::List(all?)
            }
            Data::Table(table) => Data::Table(self.table(table, &item.origin, pointer)),
            other => other.clone(),
        };
        Some(Item { origin: item.origin.clone(), data })
    }

    fn table(&mut self, table: &Table, origin: &Origin, pointer: &str) -> Table {
        let mut entries = Vec::with_capacity(table.entries.len());
        for entry in &table.entries {
            let repair = self.faults.iter().filter(|fault| fault.origin == entry.origin);
            let repair = repair.map(|fault| &fault.repair).find(|one| !matches!(one, Repair::Insert { .. }));
            let key = match repair {
                Some(Repair::Remove) => continue,
                Some(Repair::Rename(key)) => key,
                _ => &entry.key,
            };
            if let Some(item) = self.item(&entry.item, &format!("{pointer}/{}", escaped(key)), false) {
                entries.push(Entry { key: key.clone(), origin: entry.origin.clone(), item });
            }
        }
        for fault in self.faults.iter().filter(|fault| fault.origin == *origin) {
            if let Repair::Insert { key, sample: Some(sample) } = &fault.repair
                && !entries.iter().any(|entry| entry.key == *key)
            {
                self.invented.push(format!("{pointer}/{}", escaped(key)));
                let item = of_json(sample, origin);
                entries.push(Entry { key: key.clone(), origin: origin.clone(), item });
            }
        }
        Table { entries, has_header: table.has_header }
    }
}

/// A tree with this value, all of it at `origin`.
pub(crate) fn of_json(value: &Value, origin: &Origin) -> Item {
    let data = match value {
        Value::Null => Data::Broken,
        Value::Bool(value) => Data::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Data::Integer(number),
            None => Data::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Data::Text(TextValue { value: text.clone(), ..TextValue::default() }),
        Value::Array(items) => Data::List(items.iter().map(|item| of_json(item, origin)).collect()),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| Entry {
                key: key.clone(),
                origin: origin.clone(),
                item: of_json(value, origin),
            };
            Data::Table(Table { entries: entries.iter().map(entry).collect(), has_header: false })
        }
    };
    Item { origin: origin.clone(), data }
}

/// A key as a step of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
