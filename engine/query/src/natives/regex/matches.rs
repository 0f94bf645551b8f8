//! Matches as values.

use super::{Groups, Matcher};
use crate::value::{Object, Text, Val};

thread_local! {
    /// The names in the objects of matches, which are shared by all of them.
    static NAMES: [Text; 5] = ["offset", "length", "string", "captures", "name"].map(Text::from);
}

/// Counts the characters before growing places, each part of the text once.
pub(crate) struct Places<'a> {
    text: &'a str,
    ascii: bool,
    /// A place, and the number of characters before it.
    last: (usize, usize),
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, ascii: text.is_ascii(), last: (0, 0) }
    }

    fn characters(&mut self, at: usize) -> usize {
        if self.ascii {
            return at;
        }
        let (place, count) = self.last;
        let count = if at >= place {
            count + self.text[place..at].chars().count()
        } else {
            count - self.text[at..place].chars().count()
        };
        self.last = (at, count);
        count
    }
}

/// The text of a group; `null` if it took no part.
pub(crate) fn text_of(text: &Text, groups: &Groups, group: usize) -> Val {
    match groups.get(group).and_then(Clone::clone) {
        Some(range) => Val::Text(text.slice(range)),
        None => Val::Null,
    }
}

/// A match as `match` gives it.
pub(crate) fn match_value(matcher: &Matcher, text: &Text, groups: &Groups, places: &mut Places<'_>) -> Val {
    let [offset, length, string, captures, name] = NAMES.with(Clone::clone);
    let mut place_of = |group: usize| match &groups[group] {
        Some(range) => {
            let from = places.characters(range.start);
            (from as f64, (places.characters(range.end) - from) as f64)
        }
        None => (-1.0, 0.0),
    };
    let whole = place_of(0);
    let of_groups = (1..groups.len()).map(|group| {
        let (from, count) = place_of(group);
        let named = matcher.names()[group].clone().map_or(Val::Null, Val::Text);
        Val::Object(Object::from_iter([
            (offset.clone(), Val::Float(from)),
            (length.clone(), Val::Float(count)),
            (string.clone(), text_of(text, groups, group)),
            (name.clone(), named),
        ]))
    });
    let of_groups: Vec<Val> = of_groups.collect();
    Val::Object(Object::from_iter([
        (offset, Val::Float(whole.0)),
        (length, Val::Float(whole.1)),
        (string, text_of(text, groups, 0)),
        (captures, Val::from(of_groups)),
    ]))
}

/// The texts of the named groups as an object.
pub(crate) fn named_captures(matcher: &Matcher, text: &Text, groups: &Groups) -> Val {
    let named =
        matcher.names().iter().enumerate().filter_map(|(group, name)| {
            name.as_ref().map(|name| (name.clone(), text_of(text, groups, group)))
        });
    Val::Object(named.collect())
}

/// A result of `scan`: the texts of the groups, or the whole match if there is none.
pub(crate) fn captures_value(text: &Text, groups: &Groups) -> Val {
    if groups.len() == 1 {
        return text_of(text, groups, 0);
    }
    Val::from((1..groups.len()).map(|group| text_of(text, groups, group)).collect::<Vec<_>>())
}
