//! The file as a tree in which every value has its place.

pub(crate) mod interpolate;
pub(crate) mod overrides;
mod quoted;
pub(crate) mod syntax;

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// The origin of a key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// These bytes of the file.
    File(Range<usize>),
    /// An override, `NAME.KEY`.
    Set(String),
}

impl Origin {
    /// The bytes of the file, if it comes from there.
    pub(crate) fn range(&self) -> Option<Range<usize>> {
        match self {
            Self::File(range) => Some(range.clone()),
            Self::Set(_) => None,
        }
    }

    /// The position in the file. Overrides come after everything else.
    pub(crate) fn position(&self) -> usize {
        self.range().map_or(usize::MAX, |range| range.start)
    }
}

/// Puts a diagnostic at a place. An override has no place in the file, so the label becomes a note.
pub(crate) fn place(diagnostic: Diagnostic, origin: &Origin, label: impl Into<String>) -> Diagnostic {
    let label = label.into();
    match origin {
        Origin::File(range) => diagnostic.label(range.clone(), label),
        Origin::Set(name) => {
            let diagnostic = diagnostic.note(format!("it comes from `--set {name}=...`"));
            if label.is_empty() { diagnostic } else { diagnostic.note(label) }
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) origin: Origin,
    pub(crate) data: Data,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Text(TextValue),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Vec<Item>),
    Table(Table),
    /// A value with an error that is reported already. Every check skips it.
    Broken,
}

/// Text in which each `${...}` is replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextValue {
    pub(crate) value: String,
    /// The replaced parts: bytes of `value`, and the bytes of the written text that they replace, both in ascending
    /// order.
    pub(crate) replaced: Vec<(Range<usize>, Range<usize>)>,
    /// The parts from outside the file. Messages never show them.
    pub(crate) hidden: Vec<String>,
}

/// A table, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
    /// True for a table with a header, `[sink.x.headers]`, rather than a brace.
    pub(crate) has_header: bool,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) item: Item,
}

impl Table {
    /// The entry with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: &str, item: Item) -> &mut Item {
        let index = self.entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            self.entries.push(Entry { key: key.to_owned(), origin: item.origin.clone(), item: item.clone() });
            self.entries.len() - 1
        });
        self.entries[index].item = item;
        &mut self.entries[index].item
    }
}

impl Item {
    /// The text, if it is text without parts from outside the file.
    pub(crate) fn shown(&self) -> Option<&str> {
        match &self.data {
            Data::Text(prose) if prose.hidden.is_empty() => Some(&prose.value),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The item that a JSON pointer leads to. `None` for the whole, and if there is no such item.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Item> {
        let mut item = self;
        let mut steps = pointer.split('/').skip(1).peekable();
        steps.peek()?;
        for step in steps {
            item = match &item.data {
                Data::Table(table) => &table.get(&step.replace("~1", "/").replace("~0", "~"))?.item,
                Data::List(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(item)
    }

    /// The item that a JSON pointer leads to, or the nearest one around it.
    pub(crate) fn nearest(&self, pointer: &str) -> &Item {
        let mut item = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &item.data {
                Data::Table(table) => table.get(&step).map(|entry| &entry.item),
                Data::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => item = next,
                None => break,
            }
        }
        item
    }

    /// All parts from outside the file, anywhere in it.
    pub(crate) fn hidden(&self) -> Vec<&str> {
        match &self.data {
            Data::Text(prose) => prose.hidden.iter().map(String::as_str).collect(),
            Data::List(items) => items.iter().flat_map(Item::hidden).collect(),
            Data::Table(table) => table.entries.iter().flat_map(|entry| entry.item.hidden()).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns true if any value in it is broken.
    pub(crate) fn is_broken(&self) -> bool {
        match &self.data {
            Data::Broken => true,
            Data::List(items) => items.iter().any(Item::is_broken),
            Data::Table(table) => table.entries.iter().any(|entry| entry.item.is_broken()),
            _ => false,
        }
    }

    /// The value as JSON. Dates become text, broken values null.
    pub(crate) fn json(&self) -> Value {
        match &self.data {
            Data::Text(prose) => prose.value.clone().into(),
            Data::Integer(number) => (*number).into(),
            Data::Float(number) => (*number).into(),
            Data::Boolean(value) => (*value).into(),
            Data::Date(text) => text.clone().into(),
            Data::List(items) => items.iter().map(Item::json).collect(),
            Data::Table(table) => Value::Object(
                table.entries.iter().map(|entry| (entry.key.clone(), entry.item.json())).collect(),
            ),
            Data::Broken => Value::Null,
        }
    }
}

/// The tree of a parsed table, whose text is `source`.
pub(crate) fn table(parsed: &DeTable<'_>, source: &str, diagnostics: &mut Vec<Diagnostic>) -> Table {
    let mut entries: Vec<Entry> = parsed
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            origin: Origin::File(key.span()),
            item: item(value, source, diagnostics),
        })
        .collect();
    entries.sort_by_key(|entry| entry.origin.position());
    Table { entries, has_header: false }
}

/// The tree of a parsed value.
pub(crate) fn item(parsed: &Spanned<DeValue<'_>>, source: &str, diagnostics: &mut Vec<Diagnostic>) -> Item {
    let range = parsed.span();
    let data = match parsed.get_ref() {
        // The parser puts an empty number where it could not read a value.
        _ if range.is_empty() => Data::Broken,
        DeValue::String(text) => Data::Text(TextValue { value: text.to_string(), ..TextValue::default() }),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Integer(number),
            Err(_) => broken("a whole number of 64 bits", &range, diagnostics),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Data::Float(number),
            _ => broken("a finite number", &range, diagnostics),
        },
        DeValue::Boolean(value) => Data::Boolean(*value),
        DeValue::Datetime(date) => Data::Date(date.to_string()),
        DeValue::Array(items) => Data::List(items.iter().map(|one| item(one, source, diagnostics)).collect()),
        DeValue::Table(inner) => {
            let has_header = source.get(range.clone()).is_some_and(|text| text.starts_with('['));
            Data::Table(Table { has_header, ..table(inner, source, diagnostics) })
        }
    };
    Item { origin: Origin::File(range), data }
}

fn broken(what: &str, range: &Range<usize>, diagnostics: &mut Vec<Diagnostic>) -> Data {
    let diagnostic = Diagnostic::error("out-of-range", format!("this is not {what}"));
    diagnostics.push(diagnostic.label(range.clone(), "write a smaller number"));
    Data::Broken
}
