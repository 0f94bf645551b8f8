//! Strings: a part of a buffer that others may share.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::tape::Entry;
use crate::meter;

/// A string. Parts of it share its memory.
#[derive(Clone)]
pub struct Text {
    owner: Arc<Owner>,
    start: u32,
    length: u32,
}

#[derive(Default)]
struct Owner {
    text: String,
    /// The structure of the text, if it is a document that values are read from.
    tape: Vec<Entry>,
    /// The bytes that the meter counts for it.
    held: usize,
}

/// The bytes of an owner beside its text.
const OVERHEAD: usize = 80;

impl Drop for Owner {
    fn drop(&mut self) {
        meter::release(self.held);
    }
}

impl Text {
    /// The bytes `range` of it, which begin and end between characters.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        debug_assert!(self.get(range.clone()).is_some(), "a part begins and ends between characters");
        let start = self.start + range.start as u32;
        Self { owner: Arc::clone(&self.owner), start, length: (range.end - range.start) as u32 }
    }

    /// A document: a text with its structure.
    pub(super) fn document(text: String, tape: Vec<Entry>) -> Self {
        let length = text.len() as u32;
        let held = text.capacity() + OVERHEAD;
        meter::hold(held);
        Self { owner: Arc::new(Owner { text, tape, held }), start: 0, length }
    }

    #[inline]
    pub(super) fn tape(&self) -> &[Entry] {
        &self.owner.tape
    }

    /// The bytes `range` of the document.
    #[inline]
    pub(super) fn document_text(&self, range: Range<usize>) -> &str {
        &self.owner.text[range]
    }

    #[inline]
    pub(super) fn document_bytes(&self) -> &[u8] {
        self.owner.text.as_bytes()
    }

    /// The bytes `range` of the document, which begin and end between characters.
    #[inline]
    pub(super) fn document_slice(&self, range: Range<usize>) -> Self {
        let (start, length) = (range.start as u32, range.len() as u32);
        Self { owner: Arc::clone(&self.owner), start, length }
    }

    /// Appends `more`, in place if no other text shares the memory.
    pub(crate) fn append(&mut self, more: &str) {
        let (start, end) = (self.start as usize, (self.start + self.length) as usize);
        if let Some(owner) = Arc::get_mut(&mut self.owner)
            && start == 0
        {
            owner.text.truncate(end);
            owner.text.push_str(more);
            let held = owner.text.capacity() + OVERHEAD;
            meter::hold(held);
            meter::release(owner.held);
            owner.held = held;
            self.length = owner.text.len() as u32;
        } else {
            let mut text = String::with_capacity(self.len() + more.len());
            text.push_str(self);
            text.push_str(more);
            *self = Self::from(text);
        }
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.owner.text[self.start as usize..(self.start + self.length) as usize]
    }
}

impl Default for Text {
    fn default() -> Self {
        Self { owner: Arc::new(Owner::default()), start: 0, length: 0 }
    }
}

impl From<String> for Text {
    /// A text of 4 GiB or more loses its end; no limit of memory allows one.
    fn from(text: String) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let held = text.capacity() + OVERHEAD;
        meter::hold(held);
        Self { owner: Arc::new(Owner { text, tape: Vec::new(), held }), start: 0, length }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}
