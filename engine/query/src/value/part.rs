//! Parts of a JSON text that are values, built when they are needed.

use super::tape::{ESCAPED, Entry, Kind};
use super::{Text, Val, token};

/// A value in a JSON text, by the number of its entry.
#[derive(Clone)]
pub(super) struct Part {
    /// The whole text, with its entries.
    document: Text,
    entry: u32,
}

impl Part {
    pub(super) fn root(document: Text) -> Self {
        Self::new(document, 0)
    }

    #[inline]
    pub(super) fn new(document: Text, entry: u32) -> Self {
        Self { document, entry }
    }

    pub(super) fn entry(&self) -> Entry {
        self.document.tape()[self.entry as usize]
    }

    /// The text of the value.
    pub(super) fn text(&self) -> &str {
        let entry = self.entry();
        self.document.document_text(entry.start as usize..entry.end as usize)
    }

    /// The value, in which arrays and objects are built later.
    pub(super) fn value(&self) -> Val {
        Val::of_entry(&self.document, self.entry)
    }

    /// The text of the value, if it is what this crate would write.
    pub(super) fn canonical(&self) -> Option<&str> {
        (self.entry().is_canonical() && self.are_names_distinct()).then(|| self.text())
    }

    /// The value of the entry `number`, which is part of it.
    pub(super) fn value_of(&self, number: u32) -> Val {
        Val::of_entry(&self.document, number)
    }

    /// True if the entry `number` is an array or an object.
    pub(super) fn is_container(&self, number: u32) -> bool {
        matches!(self.document.tape()[number as usize].kind, Kind::Array | Kind::Object)
    }

    /// The number of elements or members, or `most` if there are more.
    pub(super) fn count_up_to(&self, most: usize) -> usize {
        let tape = self.document.tape();
        let value = u32::from(self.entry().kind == Kind::Object);
        let end = self.entry().next;
        let (mut at, mut count) = (self.entry + 1, 0);
        while at < end && count < most {
            at = tape[(at + value) as usize].next;
            count += 1;
        }
        count
    }

    /// The elements of an array.
    pub(super) fn elements(&self) -> impl Iterator<Item = Val> {
        let tape = self.document.tape();
        let end = self.entry().next;
        let mut at = self.entry + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let element = Val::of_entry(&self.document, at);
                at = tape[at as usize].next;
                element
            })
        })
    }

    /// The names of an object's members and the entries of their values, in the order of the text. A name may occur
    /// several times.
    pub(super) fn members(&self) -> impl Iterator<Item = (Text, u32)> {
        let tape = self.document.tape();
        let end = self.entry().next;
        let mut at = self.entry + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let member = (text(&self.document, at), at + 1);
                at = tape[at as usize + 1].next;
                member
            })
        })
    }

    /// The entry of the value of the last member of this name.
    ///
    /// # Errors
    /// If the object has too many members to look through them.
    pub(super) fn find(&self, name: &str) -> Result<Option<u32>, TooMany> {
        let tape = self.document.tape();
        let bytes = self.document.document_bytes();
        let end = self.entry().next;
        let (mut at, mut count, mut found) = (self.entry + 1, 0, None);
        while at < end {
            let entry = tape[at as usize];
            let same = if entry.flags & ESCAPED != 0 {
                *text(&self.document, at) == *name
            } else {
                (entry.end - entry.start) as usize == name.len()
                    && bytes[entry.start as usize..entry.end as usize] == *name.as_bytes()
            };
            if same {
                found = Some(at + 1);
            }
            count += 1;
            if count > MOST {
                return Err(TooMany);
            }
            at = tape[at as usize + 1].next;
        }
        Ok(found)
    }

    /// True if no object in it has a name twice. Names with escapes, and large objects, count as unknown.
    fn are_names_distinct(&self) -> bool {
        let tape = self.document.tape();
        (self.entry..self.entry().next).all(|entry| {
            let found = tape[entry as usize];
            found.kind != Kind::Object || self.are_members_distinct(entry + 1, found.next)
        })
    }

    fn are_members_distinct(&self, first: u32, end: u32) -> bool {
        let tape = self.document.tape();
        let bytes = self.document.document_bytes();
        let mut names = [(0, 0); MOST];
        let (mut at, mut count) = (first, 0);
        while at < end {
            let entry = tape[at as usize];
            if count == MOST || entry.flags & ESCAPED != 0 {
                return false;
            }
            let name = &bytes[entry.start as usize..entry.end as usize];
            let key = key_of(name);
            let named = (key, entry.end - entry.start);
            if names[..count].contains(&named) && (name.len() <= 8 || self.has_name(first, at, name)) {
                return false;
            }
            names[count] = named;
            count += 1;
            at = tape[at as usize + 1].next;
        }
        true
    }

    /// True if a member before the entry `end` has this name.
    fn has_name(&self, first: u32, end: u32, name: &[u8]) -> bool {
        let tape = self.document.tape();
        let bytes = self.document.document_bytes();
        let mut at = first;
        while at < end {
            let entry = tape[at as usize];
            if bytes[entry.start as usize..entry.end as usize] == *name {
                return true;
            }
            at = tape[at as usize + 1].next;
        }
        false
    }
}

/// The number of members that are looked through one by one.
const MOST: usize = 64;

/// An object has too many members to look through them for each name.
pub(super) struct TooMany;

/// The last eight bytes of a name, as a number.
#[inline]
fn key_of(name: &[u8]) -> u64 {
    match name.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => name.iter().fold(0, |key, byte| key << 8 | u64::from(*byte)),
    }
}

/// The string or the name of the entry `entry`.
#[inline]
pub(super) fn text(document: &Text, entry: u32) -> Text {
    let entry = document.tape()[entry as usize];
    if entry.flags & ESCAPED == 0 {
        return document.document_slice(entry.start as usize..entry.end as usize);
    }
    token::string_at(document, entry.start as usize - 1)
}
