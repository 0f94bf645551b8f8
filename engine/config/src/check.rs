//! Checks values against a schema, and tells every difference at its own place.

mod formats;

use crate::check::formats::{text_problem, wrong_word};
use crate::diagnostic::Diagnostic;
use crate::document::{Data, Entry, Item, Origin, Table, place};
use crate::names::{listed, nearest, with_article};
use crate::schema::example::{example, wrapped};
use crate::schema::{Form, Other, Schema, Shape};

/// Whose keys are checked, and what is known around them.
pub(crate) struct Scope<'a> {
    /// As messages name it: "the source plugin `http_poll`", "`[pipeline]`".
    pub(crate) owner: String,
    /// Where its options are listed.
    pub(crate) manual: Option<String>,
    /// The keys that the component knows: its plugin's and the engine's.
    pub(crate) known: Vec<(&'a str, Schema<'a>)>,
    /// Those of them that must be there and are not.
    pub(crate) missing: Vec<&'a str>,
    /// The text of the file.
    pub(crate) source: &'a str,
}

/// One pass over a tree of values.
pub(crate) struct Checker<'a> {
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Keys of the component that were found in a table below it.
    pub(crate) swallowed: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, diagnostics: Vec::new(), swallowed: Vec::new() }
    }

    /// Checks the value of the option `path` (dotted).
    pub(crate) fn value(&mut self, schema: Schema<'_>, item: &Item, path: &str) {
        if matches!(item.data, Data::Broken) {
            return;
        }
        if let (Some(words), Data::Text(prose)) = (schema.all_words(), &item.data) {
            if !words.contains(&prose.value.as_str()) {
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

    /// How many problems a check finds, without telling them.
    fn silent(&self, check: impl FnOnce(&mut Checker<'a>)) -> usize {
        let mut silent = Checker::new(self.scope);
        check(&mut silent);
        silent.diagnostics.len()
    }

    /// A text, number or list of a fitting type: is it in order inside?
    fn scalar(&mut self, schema: Schema<'_>, named: Schema<'_>, item: &Item, path: &str) {
        match &item.data {
            Data::Text(prose) => {
                if let Some(words) = schema.words().filter(|words| !words.contains(&prose.value.as_str())) {
                    self.diagnostics.push(wrong_word(&words, item, path));
                } else if let Some(diagnostic) = text_problem(schema, named, item, &prose.value, path) {
                    self.diagnostics.push(diagnostic);
                }
            }
            Data::Integer(number) => self.range(schema, named, item, *number as f64, path),
            Data::Float(number) => self.range(schema, named, item, *number, path),
            Data::List(items) => self.list(schema, item, items, path),
            _ => {}
        }
    }

    fn list(&mut self, schema: Schema<'_>, item: &Item, items: &[Item], path: &str) {
        let limit = |name: &str| schema.limit(name).and_then(serde_json::Value::as_u64);
        let count = items.len() as u64;
        let problem = match (limit("minItems"), limit("maxItems")) {
            (Some(least), _) if count < least => Some(format!("at least {least}")),
            (_, Some(most)) if count > most => Some(format!("at most {most}")),
            _ => None,
        };
        if let Some(expected) = problem {
            let message = format!("`{path}` has {count} items, but must have {expected}");
            self.diagnostics.push(place(Diagnostic::error("out-of-range", message), &item.origin, ""));
        }
        if let Some(schema) = schema.items() {
            for (index, inner) in items.iter().enumerate() {
                self.value(schema, inner, &format!("{path}[{index}]"));
            }
        }
    }

    fn range(&mut self, schema: Schema<'_>, named: Schema<'_>, item: &Item, number: f64, path: &str) {
        let limit =
            |name: &str| named.limit(name).or_else(|| schema.limit(name)).and_then(serde_json::Value::as_f64);
        let (formatted_least, formatted_most) = match schema.format() {
            Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
            Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            Some("uint" | "uint64") => (Some(0.0), None),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            _ => (None, None),
        };
        let least = limit("minimum").or(formatted_least);
        let most = limit("maximum").or(formatted_most);
        let above = limit("exclusiveMinimum");
        let below = limit("exclusiveMaximum");
        let sound = least.is_none_or(|least| number >= least)
            && most.is_none_or(|most| number <= most)
            && above.is_none_or(|above| number > above)
            && below.is_none_or(|below| number < below);
        if sound {
            return;
        }
        let lower = least
            .map(|least| format!("at least {least}"))
            .or(above.map(|above| format!("more than {above}")));
        let upper =
            most.map(|most| format!("at most {most}")).or(below.map(|below| format!("less than {below}")));
        let expected: Vec<String> = lower.into_iter().chain(upper).collect();
        let message = format!("`{path}` is {number}, which is out of its limits");
        let label = format!("must be {}", expected.join(" and "));
        self.diagnostics.push(place(Diagnostic::error("out-of-range", message), &item.origin, label));
    }

    fn wrong_type(&mut self, schema: Schema<'_>, item: &Item, path: &str) {
        let expected = schema.type_name();
        let shown = match expected.as_str() {
            "true/false" => "`true` or `false`".to_owned(),
            one if ["one of", "`", "text", "secret text"].iter().any(|start| one.starts_with(start)) => {
                one.to_owned()
            }
            one => with_article(one),
        };
        let found = found(item);
        let is_number = matches!(item.data, Data::Integer(_) | Data::Float(_));
        let unit = is_number && matches!(expected.as_str(), "duration" | "size");
        let code = if unit { "wrong-unit" } else { "wrong-type" };
        let message = match unit {
            true => format!("`{path}` is {shown}, so it needs a unit"),
            false => format!("`{path}` must be {shown}, and this is {found}"),
        };
        let key = path.rsplit(['.', ']']).next().unwrap_or(path);
        let label = match (key, example(schema, Some(item))) {
            (_, None) => String::new(),
            ("", Some(example)) => format!("write `{example}`"),
            (key, Some(example)) => format!("write it like `{} = {example}`", bare_key(key)),
        };
        let mut diagnostic = place(Diagnostic::error(code, message), &item.origin, label);
        if let Data::Text(prose) = &item.data
            && !prose.replaced.is_empty()
        {
            diagnostic = diagnostic.note("`${...}` always makes text, so it cannot be used here");
        }
        self.diagnostics.push(diagnostic);
    }

    /// Checks a table that must have one of these shapes.
    pub(crate) fn table(&mut self, shapes: &[Shape<'_>], table: &Table, origin: &Origin, path: &str) {
        if let Some(shape) = self.shape(shapes, table, origin, path) {
            for entry in &table.entries {
                self.entry(shape, table, entry, origin, path);
            }
            self.required(shape, table, origin, path);
        }
    }

    /// The shape that the table is most like; `None` if its tag is missing or none of the known, which is told.
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
                let label = format!("add `{key} = {}`", quoted(words[0]));
                let diagnostic = place(Diagnostic::error("missing-key", message), origin, label);
                self.diagnostics.push(diagnostic.note(format!("it is one of {}", listed(words, "or"))));
                return None;
            };
            if let Data::Text(prose) = &entry.item.data {
                let found = words.iter().position(|word| *word == prose.value);
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

    fn entry(&mut self, shape: &Shape<'_>, table: &Table, entry: &Entry, origin: &Origin, path: &str) {
        let inner = join(path, &entry.key);
        match (shape.get(&entry.key), shape.other) {
            (Some(schema), _) => self.value(schema, &entry.item, &inner),
            (None, Other::These(schema)) => {
                let trap = self.trap(table, path, entry);
                match trap {
                    Some(outer) => self.swallowed_value(outer, schema, entry, origin, &inner),
                    None => self.value(schema, &entry.item, &inner),
                }
            }
            (None, Other::Anything) => {}
            (None, Other::Nothing) if self.trap(table, path, entry).is_some() => {
                self.swallow(entry, origin, true);
            }
            (None, Other::Nothing) => {
                let own = shape.properties.iter().map(|(name, _)| *name);
                let diagnostic = match path {
                    "" => self.unknown_key(entry, self.scope.known.iter().map(|(name, _)| *name), path),
                    _ => self.unknown_key(entry, own, path),
                };
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// The component's schema of a key that stands in a table below it, under a header of its own.
    fn trap(&self, table: &Table, path: &str, entry: &Entry) -> Option<Schema<'a>> {
        let outer = self.scope.known.iter().find(|(name, _)| *name == entry.key)?.1;
        (table.has_header && !path.is_empty()).then_some(outer)
    }

    /// A key that may belong to the table (which takes any key) or to the component above it.
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
        match (fits_above, fits_here) {
            (true, _) if missing => self.swallow(entry, origin, true),
            (true, false) => self.swallow(entry, origin, true),
            (true, true) => self.swallow(entry, origin, false),
            (false, _) => self.value(schema, &entry.item, path),
        }
    }

    /// Tells of a key that belongs to the component and stands in the table at `origin`.
    pub(crate) fn swallow(&mut self, entry: &Entry, origin: &Origin, certain: bool) {
        let header = origin.range().and_then(|range| self.scope.source.get(range)).unwrap_or_default();
        let table = header.trim_matches(['[', ']']).rsplit('.').next().unwrap_or_default();
        let key = &entry.key;
        let message =
            format!("`{key}` stands below `{header}`, so it belongs to `{table}` and not to the component");
        let diagnostic = match certain {
            true => Diagnostic::error("swallowed-key", message),
            false => Diagnostic::warning("swallowed-key", message),
        };
        let mut diagnostic = place(diagnostic, &entry.origin, format!("move it above `{header}`"));
        if let Some(range) = origin.range() {
            diagnostic = diagnostic.also(range, "all keys below belong to this table");
        }
        let note = match certain {
            true => {
                format!("or write the table in one line, `{table} = {{ ... }}`, which ends where it ends")
            }
            false => format!("if it is meant for `{table}`, write `{table} = {{ {key} = ... }}` in one line"),
        };
        self.diagnostics.push(diagnostic.note(note));
        self.swallowed.push(key.clone());
    }

    fn required(&mut self, shape: &Shape<'_>, table: &Table, origin: &Origin, path: &str) {
        for key in &shape.required {
            if table.get(key).is_some() || (path.is_empty() && self.swallowed.iter().any(|one| one == key)) {
                continue;
            }
            let message = format!("{} needs `{key}`", self.subject(path));
            let value = shape.get(key).and_then(|schema| example(schema, None));
            let label = format!("add `{key} = {}`", value.as_deref().unwrap_or("\"...\""));
            self.diagnostics.push(place(Diagnostic::error("missing-key", message), origin, label));
        }
    }

    /// A key that nobody knows.
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
            diagnostic = diagnostic.note(format!("it knows {}", listed(known, "and")));
        }
        match &self.scope.manual {
            Some(manual) => diagnostic.note(manual.clone()),
            None => diagnostic,
        }
    }

    /// What the keys of the table `path` belong to, as messages name it.
    fn subject(&self, path: &str) -> String {
        match path {
            "" => self.scope.owner.clone(),
            _ => format!("`{path}` of {}", self.scope.owner),
        }
    }
}

/// Whether the value has the type of the schema.
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

fn found(item: &Item) -> &'static str {
    match &item.data {
        Data::Text(_) => "text",
        Data::Integer(_) => "a number",
        Data::Float(_) => "a number with a fraction",
        Data::Boolean(_) => "true/false",
        Data::Date(_) => "a date without quotes",
        Data::List(_) => "a list",
        Data::Table(_) => "a table",
        Data::Broken => "nothing",
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn quoted(text: &str) -> String {
    wrapped(text)
}

/// The key as TOML writes it.
fn bare_key(key: &str) -> String {
    let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests;
