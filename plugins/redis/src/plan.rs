//! From a batch to the commands that write it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use tidegate_sdk::{Batch, Delivery};

use crate::cluster::slot;
use crate::options::Command;
use crate::resp;
use crate::shape::{Argument, Shape};
use crate::verdict::Expect;

/// How many events share one command, at most.
const COMMAND_EVENTS: usize = 512;

/// How many bytes of values one command carries before it is closed. A longer one would keep the server from
/// its other clients for too long.
const COMMAND_BYTES: usize = 256 << 10;

/// How much buffer is kept from one batch to the next.
const KEPT_BYTES: usize = 4 << 20;

/// The commands that write a batch, encoded one behind the other. Each holds events of one key, in order.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) buffer: Vec<u8>,
    /// Indices of events in their batch, in the order of the commands.
    pub(crate) order: Vec<usize>,
    pub(crate) commands: Vec<Planned>,
}

/// One encoded command.
pub(crate) struct Planned {
    /// Where it lies in the buffer.
    pub(crate) bytes: Range<usize>,
    /// Where its key lies in the buffer.
    pub(crate) key: Range<usize>,
    /// Which part of the order its events are.
    pub(crate) events: Range<usize>,
    pub(crate) expect: Expect,
}

impl Planned {
    /// The slot of the cluster that the key belongs to.
    pub(crate) fn slot(&self, plan: &Plan) -> u16 {
        slot(&plan.buffer[self.key.clone()])
    }
}

impl Plan {
    /// Forgets the commands and keeps the memory, within reason.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        self.order.clear();
        self.commands.clear();
    }

    /// Adds a command of `name`, `key` and `rest` that stands for no event.
    pub(crate) fn bare(&mut self, name: &str, key: &[u8], rest: &[&str], expect: Expect) {
        let events = self.order.len();
        let rest: Vec<_> = rest.iter().map(|text| Argument::Borrowed(text.as_bytes())).collect();
        self.encode(name, key, (&[], &rest, &[]), events, expect);
    }

    /// Adds the commands that write `batch`. Events that cannot be written are rejected.
    pub(crate) fn fill(&mut self, shape: &Shape, batch: &Batch, delivery: &mut Delivery) {
        if !shape.command.is_variadic() {
            self.one_each(shape, batch, delivery);
        } else if let Some(key) = shape.key.as_literal() {
            self.together(shape, key, batch, 0..batch.len(), delivery);
        } else {
            for (key, events) in by_key(shape, batch, delivery) {
                self.together(shape, &key, batch, events.into_iter(), delivery);
            }
        }
    }

    /// A command for each event, in the order of the batch.
    fn one_each(&mut self, shape: &Shape, batch: &Batch, delivery: &mut Delivery) {
        let mut arguments = Vec::new();
        for (event, payload) in batch.payloads().enumerate() {
            arguments.clear();
            let key = shape.key.render(payload);
            match key.and_then(|key| shape.arguments(payload, &mut arguments).map(|()| key)) {
                Ok(key) => {
                    self.order.push(event);
                    self.write(shape, key.as_bytes(), &arguments, self.order.len() - 1);
                }
                Err(reason) => delivery.reject(event, reason),
            }
        }
    }

    /// As few commands as can be for events of one key.
    fn together<'a>(
        &mut self,
        shape: &'a Shape,
        key: &str,
        batch: &'a Batch,
        events: impl Iterator<Item = usize>,
        delivery: &mut Delivery,
    ) {
        let mut arguments: Vec<Argument<'a>> = Vec::new();
        let (mut first, mut bytes) = (self.order.len(), 0);
        for event in events {
            let known = arguments.len();
            if let Err(reason) = shape.arguments(batch.payload(event), &mut arguments) {
                arguments.truncate(known);
                delivery.reject(event, reason);
                continue;
            }
            self.order.push(event);
            bytes += arguments[known..].iter().map(|argument| argument.len()).sum::<usize>();
            if self.order.len() - first >= COMMAND_EVENTS || bytes >= COMMAND_BYTES {
                self.write(shape, key.as_bytes(), &arguments, first);
                arguments.clear();
                (first, bytes) = (self.order.len(), 0);
            }
        }
        if !arguments.is_empty() {
            self.write(shape, key.as_bytes(), &arguments, first);
        }
    }

    fn write(&mut self, shape: &Shape, key: &[u8], arguments: &[Argument<'_>], first: usize) {
        let expect = match shape.command {
            Command::Xadd => Expect::Id,
            Command::Set => Expect::Ok,
            _ => Expect::Number,
        };
        self.encode(shape.command.name(), key, (&shape.head, arguments, &shape.tail), first, expect);
    }

    fn encode(
        &mut self,
        name: &str,
        key: &[u8],
        (head, arguments, tail): (&[String], &[Argument<'_>], &[String]),
        first: usize,
        expect: Expect,
    ) {
        let start = self.buffer.len();
        resp::begin(&mut self.buffer, 2 + head.len() + arguments.len() + tail.len());
        resp::argument(&mut self.buffer, name.as_bytes());
        resp::argument(&mut self.buffer, key);
        let key_end = self.buffer.len() - "\r\n".len();
        for text in head {
            resp::argument(&mut self.buffer, text.as_bytes());
        }
        for bytes in arguments {
            resp::argument(&mut self.buffer, bytes);
        }
        for text in tail {
            resp::argument(&mut self.buffer, text.as_bytes());
        }
        self.commands.push(Planned {
            bytes: start..self.buffer.len(),
            key: key_end - key.len()..key_end,
            events: first..self.order.len(),
            expect,
        });
    }
}

/// The events of each key, in order; the keys in the order in which they first occur.
fn by_key(shape: &Shape, batch: &Batch, delivery: &mut Delivery) -> Vec<(String, Vec<usize>)> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (event, payload) in batch.payloads().enumerate() {
        let key = match shape.key.render(payload) {
            Ok(key) => key.into_owned(),
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
    groups
}

#[cfg(test)]
mod tests;
