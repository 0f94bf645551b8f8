//! Arrays.

use std::fmt;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::Arc;

use super::Val;
use crate::evaluate::Exit;
use crate::meter;

/// An array.
#[derive(Clone, Default)]
pub struct Array(Arc<Items>);

#[derive(Default)]
struct Items {
    items: Vec<Val>,
    /// The bytes that the meter counts for it.
    held: usize,
    /// How deep it is nested, at most.
    depth: u32,
}

/// What an array takes beside its elements.
const OVERHEAD: usize = 56;

impl Drop for Items {
    fn drop(&mut self) {
        meter::release(self.held);
    }
}

impl Items {
    fn new(items: Vec<Val>, depth: u32) -> Self {
        let held = items.capacity() * size_of::<Val>() + OVERHEAD;
        meter::hold(held);
        meter::nested(depth);
        Self { items, held, depth }
    }

    /// Counts what it takes, after it has changed.
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
    /// The elements, to be changed; a copy of them if somebody else holds them.
    pub(crate) fn items_mut(&mut self) -> Result<Change<'_>, Exit> {
        if Arc::get_mut(&mut self.0).is_none() {
            meter::reserve(self.len() * size_of::<Val>())?;
            self.0 = Arc::new(Items::new(self.0.items.clone(), self.0.depth));
        }
        match Arc::get_mut(&mut self.0) {
            Some(items) => Ok(Change(items)),
            None => Err(Exit::error("a value is shared that was copied")),
        }
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, value: Val) -> Result<(), Exit> {
        self.items_mut()?.push(value)
    }

    /// The elements, without a copy if nobody else holds them.
    pub(crate) fn into_items(mut self) -> Vec<Val> {
        match Arc::get_mut(&mut self.0) {
            Some(items) => std::mem::take(&mut items.items),
            None => self.0.items.clone(),
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.0.depth.max(1)
    }

    /// Whether both are the same array in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The elements of an array that are being changed.
pub(crate) struct Change<'a>(&'a mut Items);

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
        &self.0.items
    }
}

impl From<Vec<Val>> for Array {
    fn from(items: Vec<Val>) -> Self {
        let depth = items.iter().map(Val::depth).max().unwrap_or(0) + 1;
        Self(Arc::new(Items::new(items, depth)))
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.items.fmt(formatter)
    }
}
