//! Arrays.

use std::fmt;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::Val;
use super::part::Part;
use crate::exit::Exit;
use crate::meter;

/// An array.
#[derive(Clone)]
pub struct Array(Items);

#[derive(Clone)]
enum Items {
    Built(Arc<Built>),
    /// The array is part of a text, and its elements are built when they are needed.
    Part(Arc<Source>),
}

struct Source {
    part: Part,
    built: OnceLock<Built>,
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
        Self(Items::Part(Arc::new(Source { part, built: OnceLock::new() })))
    }

    /// The text of the array, if it is part of one and is what this crate would write.
    pub(super) fn canonical(&self) -> Option<&str> {
        match &self.0 {
            Items::Built(_) => None,
            Items::Part(source) => source.part.canonical(),
        }
    }

    #[inline]
    fn built(&self) -> &Built {
        match &self.0 {
            Items::Built(built) => built,
            Items::Part(source) => source.built.get_or_init(|| Built::of_part(&source.part)),
        }
    }

    /// The elements, to be changed; a copy of them if another value shares them.
    pub(crate) fn items_mut(&mut self) -> Result<Change<'_>, Exit> {
        let is_shared = match &self.0 {
            Items::Built(built) => Arc::strong_count(built) > 1,
            Items::Part(_) => true,
        };
        if is_shared {
            meter::reserve(self.len() * size_of::<Val>())?;
            let depth = self.depth();
            *self = Self::from(Built::new(self.clone_items(), depth));
        }
        let built = match &mut self.0 {
            Items::Built(built) => Arc::get_mut(built),
            Items::Part(_) => None,
        };
        built.map(Change).ok_or_else(|| Exit::error("a value is shared that was copied"))
    }

    /// A copy of the elements.
    fn clone_items(&mut self) -> Vec<Val> {
        if let Items::Part(source) = &mut self.0
            && let Some(source) = Arc::get_mut(source)
        {
            // A text that no other value shares needs its elements no longer.
            let mut built = source.built.take().unwrap_or_else(|| Built::of_part(&source.part));
            return std::mem::take(&mut built.items);
        }
        self.built().items.clone()
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, value: Val) -> Result<(), Exit> {
        self.items_mut()?.push(value)
    }

    /// The elements, without a copy if no other value shares them.
    pub(crate) fn into_items(mut self) -> Vec<Val> {
        if let Items::Built(built) = &mut self.0
            && let Some(built) = Arc::get_mut(built)
        {
            return std::mem::take(&mut built.items);
        }
        self.clone_items()
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Items::Part(source) if source.built.get().is_none() => source.part.count_up_to(usize::MAX),
            _ => self.built().items.len(),
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        match &self.0 {
            Items::Built(built) => built.depth.max(1),
            Items::Part(source) => u32::from(source.part.entry().depth),
        }
    }

    /// True if both are the same array in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Items::Built(left), Items::Built(right)) => Arc::ptr_eq(left, right),
            (Items::Part(left), Items::Part(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

impl Default for Array {
    fn default() -> Self {
        Self::from(Built::default())
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

    /// Puts `value` at `index`, after as many `null`s as that takes.
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
        &self.built().items
    }
}

impl From<Built> for Array {
    fn from(built: Built) -> Self {
        Self(Items::Built(Arc::new(built)))
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
        self.built().items.fmt(formatter)
    }
}
