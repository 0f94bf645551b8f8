//! Objects: members in the order in which they were put in, found by name.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{Text, Val};
use crate::evaluate::Exit;
use crate::meter;

/// An object. A name occurs once; its members are in the order in which they were put in.
#[derive(Clone, Default)]
pub struct Object(Arc<Members>);

#[derive(Default)]
struct Members {
    entries: Vec<(Text, Val)>,
    /// Where each name is, if there are many.
    index: Option<Box<HashMap<Text, u32>>>,
    /// The bytes that the meter counts for it.
    held: usize,
    /// How deep it is nested, at most.
    depth: u32,
}

/// An object with more members than this has an index.
const INDEXED: usize = 16;

/// What an object takes beside its members.
const OVERHEAD: usize = 72;

/// What a member takes.
const MEMBER: usize = size_of::<(Text, Val)>();

/// What a member takes in the index.
const IN_INDEX: usize = size_of::<(Text, u32)>() * 2;

impl Drop for Members {
    fn drop(&mut self) {
        meter::release(self.held);
    }
}

impl Members {
    #[inline]
    fn find(&self, name: &str) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(found, _)| **found == *name),
            Some(index) => index.get(name).map(|place| *place as usize),
        }
    }

    fn rebuild(&mut self) {
        self.index = (self.entries.len() > INDEXED).then(|| {
            let places = self.entries.iter().enumerate();
            Box::new(places.map(|(place, (name, _))| (name.clone(), place as u32)).collect())
        });
    }

    fn recount(&mut self) {
        let index = self.index.as_ref().map_or(0, |index| index.capacity() * IN_INDEX);
        let held = self.entries.capacity() * MEMBER + OVERHEAD + index;
        if held != self.held {
            meter::hold(held);
            meter::release(self.held);
            self.held = held;
        }
    }

    fn insert(&mut self, name: Text, value: Val) {
        let depth = value.depth() + 1;
        if depth > self.depth {
            self.depth = depth;
            meter::nested(depth);
        }
        if let Some(place) = self.find(&name) {
            self.entries[place].1 = value;
            return;
        }
        let place = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(name.clone(), place as u32);
        }
        self.entries.push((name, value));
        if place == INDEXED {
            self.rebuild();
        }
    }
}

impl Object {
    /// An object with room for `count` members.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let mut members = Members::default();
        members.entries.reserve(count);
        members.recount();
        Self(Arc::new(members))
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// The value of the member `name`.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Val> {
        self.0.find(name).map(|place| &self.0.entries[place].1)
    }

    /// The members, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Val)> {
        self.0.entries.iter()
    }

    /// The members by name.
    pub(crate) fn sorted(&self) -> Vec<&(Text, Val)> {
        let mut members: Vec<_> = self.iter().collect();
        members.sort_unstable_by(|left, right| (*left.0).cmp(&right.0));
        members
    }

    fn members_mut(&mut self) -> Result<&mut Members, Exit> {
        if Arc::get_mut(&mut self.0).is_none() {
            meter::reserve(self.len() * MEMBER)?;
            meter::steps(self.len())?;
            let mut copy = Members {
                entries: self.0.entries.clone(),
                index: self.0.index.clone(),
                held: 0,
                depth: self.0.depth,
            };
            copy.recount();
            self.0 = Arc::new(copy);
        }
        Arc::get_mut(&mut self.0).ok_or_else(|| Exit::error("a value is shared that was copied"))
    }

    /// Sets the member `name`; a new one comes last.
    pub(crate) fn set(&mut self, name: Text, value: Val) -> Result<(), Exit> {
        let members = self.members_mut()?;
        if members.entries.len() == members.entries.capacity() {
            meter::reserve(members.entries.capacity().max(4) * (MEMBER + IN_INDEX))?;
        }
        members.insert(name, value);
        members.recount();
        Ok(())
    }

    /// Takes the value of the member `name`, and leaves `null` there. Nothing if there is no such member.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<Val>, Exit> {
        let members = self.members_mut()?;
        Ok(members.find(name).map(|place| std::mem::take(&mut members.entries[place].1)))
    }

    /// Removes the members for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> Result<(), Exit> {
        let members = self.members_mut()?;
        members.entries.retain(|(name, _)| keep(name));
        members.rebuild();
        members.recount();
        Ok(())
    }

    /// The members, without a copy if nobody else holds them.
    pub(crate) fn into_members(mut self) -> Vec<(Text, Val)> {
        match Arc::get_mut(&mut self.0) {
            Some(members) => {
                members.index = None;
                std::mem::take(&mut members.entries)
            }
            None => self.0.entries.clone(),
        }
    }

    /// Lets `change` have each value in turn, to be changed. A value that becomes nothing is removed.
    pub(crate) fn change_each(
        &mut self,
        mut change: impl FnMut(Val) -> Result<Option<Val>, Exit>,
    ) -> Result<(), Exit> {
        let members = self.members_mut()?;
        let mut removed = Vec::new();
        for place in 0..members.entries.len() {
            let value = std::mem::take(&mut members.entries[place].1);
            match change(value)? {
                Some(value) => {
                    members.depth = members.depth.max(value.depth() + 1);
                    members.entries[place].1 = value;
                }
                None => removed.push(place),
            }
        }
        meter::nested(members.depth);
        if !removed.is_empty() {
            let mut place = 0;
            let mut removed = removed.into_iter().peekable();
            members.entries.retain(|_| {
                let gone = removed.next_if_eq(&place).is_some();
                place += 1;
                !gone
            });
            members.rebuild();
        }
        members.recount();
        Ok(())
    }

    pub(crate) fn depth(&self) -> u32 {
        self.0.depth.max(1)
    }

    /// Whether both are the same object in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl FromIterator<(Text, Val)> for Object {
    fn from_iter<T: IntoIterator<Item = (Text, Val)>>(members: T) -> Self {
        let mut made = Members::default();
        for (name, value) in members {
            made.insert(name, value);
        }
        made.recount();
        Self(Arc::new(made))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter().map(|(name, value)| (name, value))).finish()
    }
}
