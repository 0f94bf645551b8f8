//! Arrays.

use std::fmt;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::Val;
use super::part::Part;
use crate::evaluate::Exit;
use crate::meter;

/// An array.
#[derive(Clone, Default)]
pub struct Array(Arc<Items>);

/// The elements: built, or in the text that the array is read from, or both.
#[derive(Default)]
struct Items {
    built: OnceLock<Built>,
    /// The text, until the array is changed.
    source: Option<Part>,
}

#[derive(Default)]
struct Built {
    items: Vec<Val>,
    /// The bytes that the meter counts for it.
    held: usize,
    /// The depth to which it is nested, at most.
    depth: u32,
}

/// The bytes of an array beside its elements.
const OVERHEAD: usize = 96;

impl Drop for Built {
    fn drop(&mut self) {
        meter::release(self.held);
    }
}

impl Items {
    #[inline]
    fn built(&self) -> &Built {
        self.built.get_or_init(|| self.source.as_ref().map(Built::of_part).unwrap_or_default())
    }
}

impl Built {
    fn new(items: Vec<Val>, depth: u32) -> Self {
        let held = items.capacity() * size_of::<Val>() + OVERHEAD;
        meter::hold(held);
        meter::nested(depth);
        Self { items, held, depth }
    }

    /// Builds the elements. The meter does not count them: they are part of the input.
    fn of_part(part: &Part) -> Self {
        let mut items = Vec::with_capacity(part.count_up_to(usize::MAX));
        items.extend(part.elements());
        Self { items, held: 0, depth: u32::from(part.entry().depth) }
    }

    /// Counts its size after a change.
    fn recount(&mut self) {
        let held = self.items.capacity() * size_of::<Val>() + OVERHEAD;
        if held != self.held {
            meter::hold(held);
            meter::release(self.held);
            self.held = held;
        }
    }
}

impl Array {
    /// An array that is part of a text.
    pub(super) fn part(part: Part) -> Self {
        Self(Arc::new(Items { built: OnceLock::new(), source: Some(part) }))
    }

    /// The text of the array, if it is part of one and is what this crate would write.
    pub(super) fn canonical(&self) -> Option<&str> {
        self.0.source.as_ref().and_then(Part::canonical)
    }

    /// The elements, to be changed; a copy of them if another value shares them.
    pub(crate) fn items_mut(&mut self) -> Result<Change<'_>, Exit> {
        let built = self.0.built();
        if Arc::strong_count(&self.0) > 1 {
            meter::reserve(built.items.len() * size_of::<Val>())?;
            *self = Self::from(Built::new(built.items.clone(), built.depth));
        }
        let items = Arc::get_mut(&mut self.0);
        let built = items.and_then(|items| {
            items.source = None;
            items.built.get_mut()
        });
        built.map(Change).ok_or_else(|| Exit::error("a value is shared that was copied"))
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, value: Val) -> Result<(), Exit> {
        self.items_mut()?.push(value)
    }

    /// The elements, without a copy if no other value shares them.
    pub(crate) fn into_items(mut self) -> Vec<Val> {
        self.0.built();
        match Arc::get_mut(&mut self.0).and_then(|items| items.built.get_mut()) {
            Some(built) => std::mem::take(&mut built.items),
            None => self.to_vec(),
        }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        match (self.0.built.get(), &self.0.source) {
            (None, Some(part)) => part.count_up_to(usize::MAX),
            (built, _) => built.map_or(0, |built| built.items.len()),
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        match (self.0.built.get(), &self.0.source) {
            (None, Some(part)) => u32::from(part.entry().depth),
            (built, _) => built.map_or(0, |built| built.depth),
        }
        .max(1)
    }

    /// Whether both are the same array in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The elements of an array that are being changed.
pub(crate) struct Change<'a>(&'a mut Built);

impl Change<'_> {
    pub(crate) fn push(&mut self, value: Val) -> Result<(), Exit> {
        if self.0.items.len() == self.0.items.capacity() {
            meter::reserve(self.0.items.capacity().max(4) * size_of::<Val>())?;
        }
        self.deepen(&value);
        self.0.items.push(value);
        Ok(())
    }

    /// Puts `value` at `index`, behind as many `null` as it takes.
    pub(crate) fn set(&mut self, index: usize, value: Val) -> Result<(), Exit> {
        let length = self.0.items.len();
        if index >= length {
            meter::steps(index - length)?;
            if index >= self.0.items.capacity() {
                meter::reserve((index + 1) * size_of::<Val>())?;
            }
            self.0.items.resize(index + 1, Val::Null);
        }
        self.deepen(&value);
        self.0.items[index] = value;
        Ok(())
    }

    /// Takes the element at `index`, and leaves `null` there.
    pub(crate) fn take(&mut self, index: usize) -> Val {
        self.0.items.get_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// The elements themselves. What is put into them must not be nested deeper than they were.
    pub(crate) fn raw(&mut self) -> &mut Vec<Val> {
        &mut self.0.items
    }

    /// Notes that `value` is to become an element.
    pub(crate) fn deepen(&mut self, value: &Val) {
        let depth = value.depth() + 1;
        if depth > self.0.depth {
            self.0.depth = depth;
            meter::nested(depth);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.recount();
    }
}

impl Deref for Array {
    type Target = [Val];

    #[inline]
    fn deref(&self) -> &[Val] {
        &self.0.built().items
    }
}

impl From<Built> for Array {
    fn from(built: Built) -> Self {
        Self(Arc::new(Items { built: OnceLock::from(built), source: None }))
    }
}

impl From<Vec<Val>> for Array {
    fn from(items: Vec<Val>) -> Self {
        let depth = items.iter().map(Val::depth).max().unwrap_or(0) + 1;
        Self::from(Built::new(items, depth))
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.built().items.fmt(formatter)
    }
}
