//! From a batch to the commands that write it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tidegate_sdk::{Batch, Delivery};

use crate::server::commands::{CommandSource, Commands};
use crate::server::verdict::Expect;
use crate::sink::options::Command;
use crate::sink::shape::{Argument, Shape};

/// The most events of one command.
const COMMAND_EVENTS: usize = 512;

/// The bytes of values after which a command is closed. A longer one would block the server's other clients for too
/// long.
const COMMAND_BYTES: usize = 256 << 10;

/// The bytes of commands that are made at a time, if a single command has fewer.
const PIECE_BYTES: usize = 64 << 10;

/// The commands that write a batch, each with events of one key, in order. They are made while earlier commands are in
/// flight, so the server need not wait for the whole batch.
pub(crate) struct Plan<'a> {
    shape: &'a Shape,
    batch: &'a Batch,
    /// The events of each key. A literal key has one group.
    groups: Vec<Group<'a>>,
    /// The current group, and the number of its events that are planned.
    group: usize,
    event: usize,
    arguments: Vec<Argument<'a>>,
    /// The most events of one command.
    most: usize,
    /// Rejects the events that cannot be written.
    pub(crate) delivery: Delivery,
}

/// Events of one key, in order.
struct Group<'a> {
    key: Cow<'a, str>,
    /// The indices of the events. `None` for all events.
    events: Option<Vec<usize>>,
}

impl<'a> Plan<'a> {
    /// A plan to write `batch`. No command is made yet.
    pub(crate) fn new(shape: &'a Shape, batch: &'a Batch) -> Self {
        let mut delivery = Delivery::complete();
        let groups = match shape.key.as_literal() {
            Some(key) => vec![Group { key: key.into(), events: None }],
            // Commands that hold one event each are made in the order of the batch, whatever their keys.
            None if !shape.command.is_variadic() => vec![Group { key: "".into(), events: None }],
            None => by_key(shape, batch, &mut delivery),
        };
        Self {
            shape,
            batch,
            groups,
            group: 0,
            event: 0,
            arguments: Vec::new(),
            most: COMMAND_EVENTS,
            delivery,
        }
    }

    /// The commands that write `batch`, one for each event.
    pub(crate) fn single(shape: &'a Shape, batch: &'a Batch) -> Self {
        Self { most: 1, ..Self::new(shape, batch) }
    }

    /// Makes some commands of one event each.
    fn one_each(&mut self, commands: &mut Commands) {
        let start = commands.buffer.len();
        while self.event < self.batch.len() && commands.buffer.len() - start < PIECE_BYTES {
            let (event, payload) = (self.event, self.batch.payload(self.event));
            self.event += 1;
            self.arguments.clear();
            let key = self.shape.key.render(payload);
            match key.and_then(|key| self.shape.arguments(payload, &mut self.arguments).map(|()| key)) {
                Ok(key) => {
                    commands.order.push(event);
                    let first = commands.order.len() - 1;
                    write(self.shape, key.as_bytes(), &self.arguments, first, commands);
                }
                Err(reason) => self.delivery.reject(event, reason),
            }
        }
    }

    /// Makes one command with as many events of the current key as fit.
    fn together(&mut self, commands: &mut Commands) {
        let group = &self.groups[self.group];
        let count = group.events.as_ref().map_or(self.batch.len(), Vec::len);
        let first = commands.order.len();
        let mut bytes = 0;
        self.arguments.clear();
        while self.event < count && commands.order.len() - first < self.most && bytes < COMMAND_BYTES {
            let event = group.events.as_ref().map_or(self.event, |events| events[self.event]);
            self.event += 1;
            let known = self.arguments.len();
            if let Err(reason) = self.shape.arguments(self.batch.payload(event), &mut self.arguments) {
                self.arguments.truncate(known);
                self.delivery.reject(event, reason);
                continue;
            }
            commands.order.push(event);
            bytes += self.arguments[known..].iter().map(|argument| argument.len()).sum::<usize>();
        }
        if !self.arguments.is_empty() {
            write(self.shape, group.key.as_bytes(), &self.arguments, first, commands);
        }
        if self.event == count {
            (self.group, self.event) = (self.group + 1, 0);
        }
    }
}

impl CommandSource for Plan<'_> {
    fn supply(&mut self, commands: &mut Commands) -> bool {
        if self.shape.command.is_variadic() {
            // Keys made from data may have one event each. A piece for each of them would be sent alone.
            let start = commands.buffer.len();
            while self.group < self.groups.len() {
                self.together(commands);
                if commands.buffer.len() - start >= PIECE_BYTES {
                    return true;
                }
            }
            return false;
        }
        if self.event == self.batch.len() {
            return false;
        }
        self.one_each(commands);
        true
    }
}

fn write(shape: &Shape, key: &[u8], arguments: &[Argument<'_>], first: usize, commands: &mut Commands) {
    let expect = match shape.command {
        Command::Xadd => Expect::Id,
        Command::Set => Expect::Ok,
        _ => Expect::Number,
    };
    commands.push(shape.command.name(), key, (&shape.head, arguments, &shape.tail), first, expect);
}

/// The events of each key, in order. The keys are in the order of their first events.
fn by_key<'a>(shape: &'a Shape, batch: &'a Batch, delivery: &mut Delivery) -> Vec<Group<'a>> {
    let mut groups: Vec<(Cow<'a, str>, Vec<usize>)> = Vec::new();
    let mut known: HashMap<Cow<'a, str>, usize> = HashMap::new();
    for (event, payload) in batch.payloads().enumerate() {
        let key = match shape.key.render(payload) {
            Ok(key) => key,
            Err(reason) => {
                delivery.reject(event, reason);
                continue;
            }
        };
        match known.entry(key) {
            Entry::Occupied(entry) => groups[*entry.get()].1.push(event),
            Entry::Vacant(entry) => {
                groups.push((entry.key().clone(), vec![event]));
                entry.insert(groups.len() - 1);
            }
        }
    }
    groups.into_iter().map(|(key, events)| Group { key, events: Some(events) }).collect()
}

#[cfg(test)]
mod tests;
