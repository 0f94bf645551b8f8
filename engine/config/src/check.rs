//! Checks values against a schema, and reports every difference at its own place.

pub(crate) mod fault;
mod formats;
mod scalar;

use crate::check::fault::{Fault, Repair};
use crate::check::formats::wrong_word;
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::names::{listed, nearest};
use crate::schema::example::{example, sample, wrapped};
use crate::schema::{Form, Other, Schema, Shape};

/// The owner of the checked keys, and its other keys.
pub(crate) struct Scope<'a> {
    /// The owner as messages name it: "the source plugin `http_poll`", "`[pipeline]`".
    pub(crate) owner: String,
    /// The place where the options are listed.
    pub(crate) manual: Option<String>,
    /// The keys of the component: its plugin's and the engine's.
    pub(crate) known: Vec<(&'a str, Schema<'a>)>,
    /// The required keys that are missing.
    pub(crate) missing: Vec<&'a str>,
    /// The text of the file.
    pub(crate) source: &'a str,
}

/// A pass over a tree of values.
pub(crate) struct Checker<'a> {
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Faults of the tree, for a build without them.
    pub(crate) faults: Vec<Fault>,
    /// Keys of the component that were found in a table below it.
    pub(crate) swallowed: Vec<Entry>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, diagnostics: Vec::new(), faults: Vec::new(), swallowed: Vec::new() }
    }

    /// Checks the value of the option `path` (dotted).
    pub(crate) fn value(&mut self, schema: Schema<'_>, item: &Item, path: &str) {
        let (diagnostics, faults) = (self.diagnostics.len(), self.faults.len());
        let is_broken = matches!(item.data, Data::Broken);
        if !is_broken {
            self.value_inside(schema, item, path);
        }
        let has_error = self.diagnostics[diagnostics..].iter().any(|one| one.severity == Severity::Error);
        if is_broken || (has_error && self.faults.len() == faults) {
            let is_mode = schema.all_words().is_some()
                || matches!(schema.form(), None | Some(Form::Boolean | Form::Table | Form::List));
            let repair = Repair::Replace { sample: sample(schema), required: false, is_mode };
            self.faults.push(Fault { origin: item.origin.clone(), repair });
        }
    }

    fn value_inside(&mut self, schema: Schema<'_>, item: &Item, path: &str) {
        if let (Some(words), Data::Text(text)) = (schema.all_words(), &item.data) {
            if !words.contains(&text.value.as_str()) {
                self.diagnostics.push(wrong_word(&words, item, path));
            }
            return;
        }
        let choices = schema.choices();
        let fitting: Vec<Schema<'_>> = choices.iter().copied().filter(|choice| fits(*choice, item)).collect();
        match (fitting.as_slice(), &item.data) {
            ([], _) => self.wrong_type(schema, item, path),
            (_, Data::Table(table)) => {
                let shapes: Vec<Shape<'_>> = fitting.iter().flat_map(|choice| choice.shapes()).collect();
                self.table(&shapes, table, &item.origin, path);
            }
            ([only], _) => self.scalar(*only, schema, item, path),
            (several, _) => {
                let sound = several
                    .iter()
                    .any(|choice| self.silent(|silent| silent.scalar(*choice, schema, item, path)) == 0);
                if !sound {
                    self.scalar(several[0], schema, item, path);
                }
            }
        }
    }

    /// The number of problems that a check finds, without reporting them.
    fn silent(&self, check: impl FnOnce(&mut Checker<'a>)) -> usize {
        let mut silent = Checker::new(self.scope);
        check(&mut silent);
        silent.diagnostics.len()
    }

    /// Checks a table that must have one of these shapes.
    pub(crate) fn table(&mut self, shapes: &[Shape<'_>], table: &Table, origin: &Origin, path: &str) {
        let Some(shape) = self.shape(shapes, table, origin, path) else { return };
        let mut misspelt: Vec<&str> = Vec::new();
        for entry in &table.entries {
            let faults = self.faults.len();
            misspelt.extend(self.entry(shape, table, entry, origin, path));
            if shape.required.contains(&entry.key.as_str()) {
                for fault in self.faults[faults..].iter_mut().filter(|one| one.origin == entry.item.origin) {
                    fault.repair.require();
                }
            }
        }
        self.required(shape, table, origin, path, &misspelt);
    }

    /// The shape that the table resembles most. `None` after an error about its tag.
    fn shape<'s>(
        &mut self,
        shapes: &'s [Shape<'s>],
        table: &Table,
        origin: &Origin,
        path: &str,
    ) -> Option<&'s Shape<'s>> {
        let [first, _, ..] = shapes else { return shapes.first() };
        let tags: Option<Vec<(&str, &str)>> = shapes.iter().map(Shape::tag).collect();
        let tags = tags.filter(|tags| tags.iter().all(|(key, _)| *key == tags[0].0));
        if let Some(tags) = tags {
            let key = tags[0].0;
            let words: Vec<&str> = tags.iter().map(|(_, word)| *word).collect();
            let Some(entry) = table.get(key) else {
                let message = format!("{} needs `{key}`", self.subject(path));
                let label = format!("add `{key} = {}`", wrapped(words[0]));
                let diagnostic = place(Diagnostic::error("missing-key", message), origin, label);
                self.diagnostics.push(diagnostic.note(format!("it is one of {}", listed(words, "or"))));
                return None;
            };
            if let Data::Text(text) = &entry.item.data {
                let found = words.iter().position(|word| *word == text.value);
                if found.is_none() {
                    self.diagnostics.push(wrong_word(&words, &entry.item, &join(path, key)));
                }
                return found.map(|index| &shapes[index]);
            }
        }
        let problems = |shape: &Shape<'_>| {
            self.silent(|silent| silent.table(std::slice::from_ref(shape), table, origin, path))
        };
        Some(shapes.iter().min_by_key(|shape| problems(shape)).unwrap_or(first))
    }

    /// Checks one entry of a table. Returns the key that is meant by a misspelt one.
    fn entry<'s>(
        &mut self,
        shape: &'s Shape<'s>,
        table: &Table,
        entry: &Entry,
        origin: &Origin,
        path: &str,
    ) -> Option<&'s str> {
        let inner = join(path, &entry.key);
        match (shape.get(&entry.key), shape.other) {
            (Some(schema), _) => self.value(schema, &entry.item, &inner),
            (None, Other::These(schema)) => {
                let outer = self.outer(table, path, entry);
                match outer {
                    Some(outer) => self.swallowed_value(outer, schema, entry, origin, &inner),
                    None => self.value(schema, &entry.item, &inner),
                }
            }
            (None, Other::Anything) => {}
            (None, Other::Nothing) if self.outer(table, path, entry).is_some() => {
                self.swallow(entry, origin, true);
            }
            (None, Other::Nothing) => return self.unknown_entry(shape, table, entry, path),
        }
        None
    }

    /// Reports an unknown key. A key that is misspelt is checked as the one that is meant.
    fn unknown_entry<'s>(
        &mut self,
        shape: &'s Shape<'s>,
        table: &Table,
        entry: &Entry,
        path: &str,
    ) -> Option<&'s str> {
        let own = || shape.properties.iter().map(|(name, _)| *name);
        let diagnostic = if path.is_empty() {
            self.unknown_key(entry, self.scope.known.iter().map(|(name, _)| *name), path)
        } else {
            self.unknown_key(entry, own(), path)
        };
        self.diagnostics.push(diagnostic);
        let meant = nearest(&entry.key, own()).filter(|meant| table.get(meant).is_none());
        let repair = meant.map_or(Repair::Remove, |meant| Repair::Rename(meant.to_owned()));
        self.faults.push(Fault { origin: entry.origin.clone(), repair });
        if let Some(schema) = meant.and_then(|meant| shape.get(meant)) {
            self.value(schema, &entry.item, &join(path, &entry.key));
        }
        meant
    }

    /// The component's schema of a key that is in a table below it, under a header of its own.
    fn outer(&self, table: &Table, path: &str, entry: &Entry) -> Option<Schema<'a>> {
        let outer = self.scope.known.iter().find(|(name, _)| *name == entry.key)?.1;
        (table.has_header && !path.is_empty()).then_some(outer)
    }

    /// Checks a key that may belong to the table (which takes any key) or to the component above it.
    fn swallowed_value(
        &mut self,
        outer: Schema<'_>,
        schema: Schema<'_>,
        entry: &Entry,
        origin: &Origin,
        path: &str,
    ) {
        let fits_here = self.silent(|silent| silent.value(schema, &entry.item, path)) == 0;
        let fits_above = self.silent(|silent| silent.value(outer, &entry.item, path)) == 0;
        let missing = self.scope.missing.contains(&entry.key.as_str());
        if fits_above {
            self.swallow(entry, origin, missing || !fits_here);
        } else {
            self.value(schema, &entry.item, path);
        }
    }

    /// Reports a key of the component in the table at `origin`.
    pub(crate) fn swallow(&mut self, entry: &Entry, origin: &Origin, certain: bool) {
        let header = origin.range().and_then(|range| self.scope.source.get(range)).unwrap_or_default();
        let table = header.trim_matches(['[', ']']).rsplit('.').next().unwrap_or_default();
        let key = &entry.key;
        let message =
            format!("`{key}` is below `{header}`, so it belongs to `{table}` and not to the component");
        let severity = if certain { Severity::Error } else { Severity::Warning };
        let diagnostic = Diagnostic { severity, ..Diagnostic::error("swallowed-key", message) };
        let mut diagnostic = place(diagnostic, &entry.origin, format!("move it above `{header}`"));
        if let Some(range) = origin.range() {
            diagnostic = diagnostic.also(range, "all keys below belong to this table");
        }
        let note = if certain {
            format!("or write the table in one line, `{table} = {{ ... }}`")
        } else {
            format!("if it is meant for `{table}`, write `{table} = {{ {key} = ... }}` in one line")
        };
        self.diagnostics.push(diagnostic.note(note));
        if certain {
            self.faults.push(Fault { origin: entry.origin.clone(), repair: Repair::Remove });
        }
        self.swallowed.push(entry.clone());
    }

    fn required(&mut self, shape: &Shape<'_>, table: &Table, origin: &Origin, path: &str, misspelt: &[&str]) {
        for key in &shape.required {
            let is_swallowed = path.is_empty() && self.swallowed.iter().any(|one| one.key == *key);
            if table.get(key).is_some() || is_swallowed || misspelt.contains(key) {
                continue;
            }
            let schema = shape.get(key);
            let message = format!("{} needs `{key}`", self.subject(path));
            let value = schema.and_then(|schema| example(schema, None));
            let label = format!("add `{key} = {}`", value.as_deref().unwrap_or("\"...\""));
            self.diagnostics.push(place(Diagnostic::error("missing-key", message), origin, label));
            let repair = Repair::Insert { key: (*key).to_owned(), sample: schema.and_then(sample) };
            self.faults.push(Fault { origin: origin.clone(), repair });
        }
    }

    /// The error of an unknown key.
    pub(crate) fn unknown_key<'k>(
        &self,
        entry: &Entry,
        known: impl IntoIterator<Item = &'k str>,
        path: &str,
    ) -> Diagnostic {
        let known: Vec<&str> = known.into_iter().collect();
        let message = format!("`{}` is not an option of {}", entry.key, self.subject(path));
        let nearest = nearest(&entry.key, known.iter().copied());
        let label = nearest.map(|name| format!("did you mean `{name}`?")).unwrap_or_default();
        let mut diagnostic = place(Diagnostic::error("unknown-key", message), &entry.origin, label);
        if nearest.is_none() && !known.is_empty() && !path.is_empty() {
            diagnostic = diagnostic.note(format!("its options are {}", listed(known, "and")));
        }
        match &self.scope.manual {
            Some(manual) => diagnostic.note(manual.clone()),
            None => diagnostic,
        }
    }

    /// The owner of the keys of the table `path`, as messages name it.
    fn subject(&self, path: &str) -> String {
        if path.is_empty() { self.scope.owner.clone() } else { format!("`{path}` of {}", self.scope.owner) }
    }
}

/// Returns true if the value has the type of the schema.
fn fits(schema: Schema<'_>, item: &Item) -> bool {
    match (schema.form(), &item.data) {
        (None, _) => true,
        (Some(form), Data::Text(_)) => form == Form::Text,
        (Some(form), Data::Integer(_)) => matches!(form, Form::Integer | Form::Number),
        (Some(form), Data::Float(_)) => form == Form::Number,
        (Some(form), Data::Boolean(_)) => form == Form::Boolean,
        (Some(form), Data::List(_)) => form == Form::List,
        (Some(form), Data::Table(_)) => form == Form::Table,
        (Some(_), Data::Date(_)) => false,
        (Some(_), Data::Broken) => true,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests;
