//! From a batch to the commands that write it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tidegate_sdk::{Batch, Delivery};

use crate::server::commands::Commands;
use crate::server::verdict::Expect;
use crate::sink::options::Command;
use crate::sink::shape::{Argument, Shape};

/// How many events share one command, at most.
const COMMAND_EVENTS: usize = 512;

/// How many bytes of values one command carries before it is closed. A longer one would keep the server from
/// its other clients for too long.
const COMMAND_BYTES: usize = 256 << 10;

/// Adds the commands that write `batch`, each with events of one key, in order. Events that cannot be written
/// are rejected.
pub(crate) fn plan(shape: &Shape, batch: &Batch, commands: &mut Commands, delivery: &mut Delivery) {
    if !shape.command.is_variadic() {
        one_each(shape, batch, commands, delivery);
    } else if let Some(key) = shape.key.as_literal() {
        together(shape, key, (batch, 0..batch.len()), commands, delivery);
    } else {
        for (key, events) in by_key(shape, batch, delivery) {
            together(shape, &key, (batch, events.into_iter()), commands, delivery);
        }
    }
}

/// A command for each event, in the order of the batch.
fn one_each(shape: &Shape, batch: &Batch, commands: &mut Commands, delivery: &mut Delivery) {
    let mut arguments = Vec::new();
    for (event, payload) in batch.payloads().enumerate() {
        arguments.clear();
        let key = shape.key.render(payload);
        match key.and_then(|key| shape.arguments(payload, &mut arguments).map(|()| key)) {
            Ok(key) => {
                commands.order.push(event);
                write(shape, key.as_bytes(), &arguments, commands.order.len() - 1, commands);
            }
            Err(reason) => delivery.reject(event, reason),
        }
    }
}

/// As few commands as can be for events of one key.
fn together<'a>(
    shape: &'a Shape,
    key: &str,
    (batch, events): (&'a Batch, impl Iterator<Item = usize>),
    commands: &mut Commands,
    delivery: &mut Delivery,
) {
    let mut arguments: Vec<Argument<'a>> = Vec::new();
    let (mut first, mut bytes) = (commands.order.len(), 0);
    for event in events {
        let known = arguments.len();
        if let Err(reason) = shape.arguments(batch.payload(event), &mut arguments) {
            arguments.truncate(known);
            delivery.reject(event, reason);
            continue;
        }
        commands.order.push(event);
        bytes += arguments[known..].iter().map(|argument| argument.len()).sum::<usize>();
        if commands.order.len() - first >= COMMAND_EVENTS || bytes >= COMMAND_BYTES {
            write(shape, key.as_bytes(), &arguments, first, commands);
            arguments.clear();
            (first, bytes) = (commands.order.len(), 0);
        }
    }
    if !arguments.is_empty() {
        write(shape, key.as_bytes(), &arguments, first, commands);
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
