//! The meaning of names at a place of a query.

/// The names that are known, the last first.
#[derive(Default)]
pub(super) struct Scope {
    entries: Vec<Entry>,
    /// The number of them that are bound when the query is evaluated.
    bound: usize,
}

struct Entry {
    name: String,
    meaning: Meaning,
    /// The number of bindings before it.
    bound: usize,
}

enum Meaning {
    Variable,
    Label,
    /// A parameter `$name`, which is a variable and a function.
    Value,
    Filter,
    Function {
        arity: usize,
        number: usize,
    },
    /// Everything before it is out of sight.
    Wall,
}

/// The meaning of a name that is called.
pub(super) enum Found {
    /// A parameter, with the number of bindings since it.
    Filter(usize),
    /// A parameter that is a variable.
    Value(usize),
    /// A function, with the number of bindings since its definition.
    Function(usize, usize),
}

impl Scope {
    /// A place that [`Self::reset`] goes back to.
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.entries.len(), self.bound)
    }

    pub(super) fn reset(&mut self, (entries, bound): (usize, usize)) {
        self.entries.truncate(entries);
        self.bound = bound;
    }

    /// Hides all names, for a definition of the language's own. Gives back how many bindings there were.
    pub(super) fn wall(&mut self) -> usize {
        self.push(String::new(), Meaning::Wall, 0);
        std::mem::take(&mut self.bound)
    }

    fn push(&mut self, name: String, meaning: Meaning, bound: usize) {
        self.entries.push(Entry { name, meaning, bound: self.bound });
        self.bound += bound;
    }

    pub(super) fn variable(&mut self, name: &str) {
        self.push(name.to_owned(), Meaning::Variable, 1);
    }

    pub(super) fn label(&mut self, name: &str) {
        self.push(name.to_owned(), Meaning::Label, 1);
    }

    pub(super) fn value_parameter(&mut self, name: &str) {
        self.push(name.to_owned(), Meaning::Value, 1);
    }

    pub(super) fn filter_parameter(&mut self, name: &str) {
        self.push(name.to_owned(), Meaning::Filter, 1);
    }

    pub(super) fn function(&mut self, name: &str, arity: usize, number: usize) {
        self.push(name.to_owned(), Meaning::Function { arity, number }, 0);
    }

    fn visible(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().take_while(|entry| !matches!(entry.meaning, Meaning::Wall))
    }

    /// The functions that can be called, with their numbers of arguments.
    pub(super) fn functions(&self) -> impl Iterator<Item = (&str, usize)> {
        self.visible().filter_map(|entry| match entry.meaning {
            Meaning::Filter | Meaning::Value => Some((&*entry.name, 0)),
            Meaning::Function { arity, .. } => Some((&*entry.name, arity)),
            _ => None,
        })
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let is = |entry: &&Entry| matches!(entry.meaning, Meaning::Variable | Meaning::Value);
        self.visible().filter(is).map(|entry| &*entry.name)
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.visible().filter(|entry| matches!(entry.meaning, Meaning::Label)).map(|entry| &*entry.name)
    }

    /// The number of bindings since the variable.
    pub(super) fn find_variable(&self, name: &str) -> Option<usize> {
        let is = |entry: &&Entry| {
            matches!(entry.meaning, Meaning::Variable | Meaning::Value) && entry.name == name
        };
        self.visible().find(is).map(|entry| self.bound - 1 - entry.bound)
    }

    pub(super) fn find_label(&self, name: &str) -> Option<usize> {
        let is = |entry: &&Entry| matches!(entry.meaning, Meaning::Label) && entry.name == name;
        self.visible().find(is).map(|entry| self.bound - 1 - entry.bound)
    }

    pub(super) fn find_function(&self, name: &str, arguments: usize) -> Option<Found> {
        self.visible().filter(|entry| entry.name == name).find_map(|entry| match entry.meaning {
            Meaning::Filter if arguments == 0 => Some(Found::Filter(self.bound - 1 - entry.bound)),
            Meaning::Value if arguments == 0 => Some(Found::Value(self.bound - 1 - entry.bound)),
            Meaning::Function { arity, number } if arity == arguments => {
                Some(Found::Function(number, self.bound - entry.bound))
            }
            _ => None,
        })
    }
}
