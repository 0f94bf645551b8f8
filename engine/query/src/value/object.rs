//! Objects: members in the order in which they were put in, found by name.

use std::fmt;
use std::mem::size_of;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use super::part::Part;
use super::{Text, Val};
use crate::exit::Exit;
use crate::meter;

/// An object. A name occurs once; its members are in the order in which they were put in.
#[derive(Clone)]
pub struct Object(Members);

#[derive(Clone)]
enum Members {
    Built(Arc<Built>),
    /// The object is part of a text, and its members are built when they are needed.
    Part(Arc<Source>),
}

struct Source {
    part: Part,
    built: OnceLock<Built>,
    /// Arrays and objects that were found in it, by the numbers of their entries: each is built once.
    found: [OnceLock<(u32, Val)>; 2],
}

#[derive(Default)]
struct Built {
    entries: Vec<(Text, Val)>,
    /// The place of each name, if there are many.
    index: Option<Box<HashMap<Text, u32>>>,
    /// The bytes that the meter counts for it.
    held: usize,
    /// The depth to which it is nested, at most.
    depth: u32,
}

/// The number of members up to which an object has no index.
const INDEXED: usize = 16;

/// The bytes of an object beside its members.
const OVERHEAD: usize = 88;

/// The bytes of a member.
const MEMBER: usize = size_of::<(Text, Val)>();

/// The bytes of a member in the index.
const IN_INDEX: usize = size_of::<(Text, u32)>() * 2;

impl Drop for Built {
    fn drop(&mut self) {
        meter::release(self.held);
    }
}

impl Source {
    /// The value of the entry `number`, if it was found before.
    fn found(&self, number: u32) -> Option<Val> {
        let found = self.found.iter().filter_map(OnceLock::get).find(|(known, _)| *known == number);
        found.map(|(_, value)| value.clone())
    }

    /// The members. The meter does not count them: they are part of the input.
    fn built(&self) -> &Built {
        self.built.get_or_init(|| {
            let mut built = Built::default();
            built.depth = u32::from(self.part.entry().depth);
            built.entries.reserve(self.part.count_up_to(INDEXED));
            for (name, number) in self.part.members() {
                let value = self.found(number).unwrap_or_else(|| self.part.value_of(number));
                built.insert(name, value);
            }
            built
        })
    }

    #[inline]
    fn get(&self, name: &str) -> Option<Val> {
        if let Some(built) = self.built.get() {
            return built.get(name);
        }
        let Ok(number) = self.part.find(name) else { return self.built().get(name) };
        let number = number?;
        if !self.part.is_container(number) {
            return Some(self.part.value_of(number));
        }
        for slot in &self.found {
            let (known, value) = slot.get_or_init(|| (number, self.part.value_of(number)));
            if *known == number {
                return Some(value.clone());
            }
        }
        self.built().get(name)
    }

    fn has(&self, name: &str) -> bool {
        match self.part.find(name) {
            Ok(found) => found.is_some(),
            Err(_) => self.built().find(name).is_some(),
        }
    }
}

impl Built {
    #[inline]
    fn find(&self, name: &str) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(found, _)| **found == *name),
            Some(index) => index.get(name).map(|place| *place as usize),
        }
    }

    #[inline]
    fn get(&self, name: &str) -> Option<Val> {
        self.find(name).map(|place| self.entries[place].1.clone())
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
        let mut built = Built::default();
        built.entries.reserve(count);
        built.recount();
        Self::from(built)
    }

    /// An object that is part of a text.
    pub(super) fn part(part: Part) -> Self {
        let source = Source { part, built: OnceLock::new(), found: Default::default() };
        Self(Members::Part(Arc::new(source)))
    }

    /// The text of the object, if it is part of one and is what this crate would write.
    pub(super) fn canonical(&self) -> Option<&str> {
        match &self.0 {
            Members::Built(_) => None,
            Members::Part(source) => source.part.canonical(),
        }
    }

    #[inline]
    fn built(&self) -> &Built {
        match &self.0 {
            Members::Built(built) => built,
            Members::Part(source) => source.built(),
        }
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.built().entries.len()
    }

    /// True if it has no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the member `name`.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Val> {
        match &self.0 {
            Members::Built(built) => built.get(name),
            Members::Part(source) => source.get(name),
        }
    }

    /// True if there is a member `name`.
    pub fn has(&self, name: &str) -> bool {
        match &self.0 {
            Members::Built(built) => built.find(name).is_some(),
            Members::Part(source) => source.has(name),
        }
    }

    /// The members, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Val)> {
        self.built().entries.iter()
    }

    /// The members by name.
    pub(crate) fn sorted(&self) -> Vec<&(Text, Val)> {
        let mut members: Vec<_> = self.iter().collect();
        members.sort_unstable_by(|left, right| (*left.0).cmp(&right.0));
        members
    }

    /// The members, to be changed; a copy of them if another value shares them.
    fn members_mut(&mut self) -> Result<&mut Built, Exit> {
        let is_shared = match &self.0 {
            Members::Built(built) => Arc::strong_count(built) > 1,
            Members::Part(_) => true,
        };
        if is_shared {
            let count = self.built().entries.len();
            meter::reserve(count * MEMBER)?;
            meter::steps(count)?;
            let mut copy = Built::default();
            copy.depth = self.depth();
            copy.index.clone_from(&self.built().index);
            copy.entries = self.clone_members();
            copy.recount();
            *self = Self::from(copy);
        }
        match &mut self.0 {
            Members::Built(built) => Arc::get_mut(built),
            Members::Part(_) => None,
        }
        .ok_or_else(|| Exit::error("a value is shared that was copied"))
    }

    /// A copy of the members.
    fn clone_members(&mut self) -> Vec<(Text, Val)> {
        if let Members::Part(source) = &mut self.0
            && let Some(source) = Arc::get_mut(source)
        {
            // A text that no other value shares needs its members no longer.
            source.built();
            source.found = Default::default();
            return source
                .built
                .take()
                .map(|mut built| std::mem::take(&mut built.entries))
                .unwrap_or_default();
        }
        self.built().entries.clone()
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

    /// The members, without a copy if no other value shares them.
    pub(crate) fn into_members(mut self) -> Vec<(Text, Val)> {
        if let Members::Built(built) = &mut self.0
            && let Some(built) = Arc::get_mut(built)
        {
            return std::mem::take(&mut built.entries);
        }
        self.clone_members()
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
        match &self.0 {
            Members::Built(built) => built.depth.max(1),
            Members::Part(source) => u32::from(source.part.entry().depth),
        }
    }

    /// True if both are the same object in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Members::Built(left), Members::Built(right)) => Arc::ptr_eq(left, right),
            (Members::Part(left), Members::Part(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::from(Built::default())
    }
}

impl FromIterator<(Text, Val)> for Object {
    fn from_iter<T: IntoIterator<Item = (Text, Val)>>(members: T) -> Self {
        let mut made = Built::default();
        for (name, value) in members {
            made.insert(name, value);
        }
        made.recount();
        Self::from(made)
    }
}

impl From<Built> for Object {
    fn from(built: Built) -> Self {
        Self(Members::Built(Arc::new(built)))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter().map(|(name, value)| (name, value))).finish()
    }
}
