//! A batch as calls of the function inside of Redis: which events go together, and the bytes. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use tidegate_sdk::{Batch, Delivery};

use crate::server::resp;
use crate::sink::options;
use crate::sink::shape::{Argument, Shape};
use crate::sink::transactional::procedure::Procedure;

/// The most events of one call.
pub(crate) const CALL_EVENTS: usize = 5_000;

/// The bytes of arguments after which a call is closed. The server does nothing else during a call.
pub(super) const CALL_BYTES: usize = 1 << 20;

/// The cost of an argument beside its bytes.
const ARGUMENT_BYTES: usize = 8;

/// The limit for arguments of one command within the function: Lua's stack is not endless. Even, so that
/// pairs stay together.
pub(super) const COMMAND_ARGUMENTS: usize = 4_000;

/// The writes of a batch.
#[derive(Default)]
pub(crate) struct Writes<'a> {
    /// Each key once, in the order in which they first occur.
    pub(crate) keys: Vec<Cow<'a, str>>,
    pub(crate) items: Vec<Item>,
    pub(super) arguments: Vec<Argument<'a>>,
}

/// An event to be written.
pub(crate) struct Item {
    /// Its index in the batch.
    pub(crate) event: usize,
    /// Its number in its lane.
    pub(crate) number: u64,
    /// The index of its key.
    pub(crate) key: usize,
    /// The position of its arguments.
    pub(super) arguments: Range<usize>,
}

/// The arguments of a call beside its events.
pub(crate) struct Preface<'p> {
    pub(crate) lane: &'p str,
    pub(crate) owner: &'p str,
    /// The type that the keys must have; empty if any will do.
    pub(crate) kind: &'static str,
    /// First and last index that a list keeps; empty if all.
    pub(crate) trim: &'p (String, String),
    /// The time to live of the keys, in milliseconds. Empty for none.
    pub(crate) ttl: &'p str,
}

/// A command within a call: arguments of consecutive pieces for one key.
struct Command {
    /// The number of the key in the call.
    key: usize,
    count: usize,
    pieces: Range<usize>,
}

impl<'a> Writes<'a> {
    /// Renders the events whose number is `done` or more. Events that cannot be written are rejected.
    pub(crate) fn new(shape: &'a Shape, batch: &'a Batch, done: u64, delivery: &mut Delivery) -> Self {
        let mut writes = Self::default();
        let mut known: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let literal = shape.key.as_literal();
        writes.keys.extend(literal.map(Cow::Borrowed));
        for (event, payload) in batch.payloads().enumerate() {
            let number = batch.origin(event).first + u64::from(batch.source_index(event));
            if number < done {
                continue;
            }
            let start = writes.arguments.len();
            let rendered = shape.arguments(payload, &mut writes.arguments).and_then(|()| {
                check_length(shape, writes.arguments.len() - start)?;
                if literal.is_some() {
                    return Ok(0);
                }
                let key = shape.key.render(payload)?;
                Ok(*known.entry(key.clone()).or_insert_with(|| {
                    writes.keys.push(key);
                    writes.keys.len() - 1
                }))
            });
            match rendered {
                Ok(key) => {
                    let arguments = start..writes.arguments.len();
                    writes.items.push(Item { event, number, key, arguments });
                }
                Err(reason) => {
                    writes.arguments.truncate(start);
                    delivery.reject(event, reason);
                }
            }
        }
        writes
    }

    /// The items of each call, at most `events`. A call ends only where all of its items come before all later ones,
    /// so that one number says what is done.
    pub(crate) fn calls(&self, events: usize) -> Vec<Range<usize>> {
        let mut least = vec![u64::MAX; self.items.len() + 1];
        for (index, item) in self.items.iter().enumerate().rev() {
            least[index] = least[index + 1].min(item.number);
        }
        let mut calls = Vec::new();
        let (mut start, mut bytes, mut most) = (0, 0, None);
        for (index, item) in self.items.iter().enumerate() {
            let cost = self.cost(item);
            let full = index - start >= events || bytes + cost > CALL_BYTES;
            if full && most.is_some_and(|most| most < least[index]) {
                calls.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += cost;
            most = most.max(Some(item.number));
        }
        calls.push(start..self.items.len());
        calls
    }

    pub(super) fn cost(&self, item: &Item) -> usize {
        let arguments = &self.arguments[item.arguments.clone()];
        arguments.iter().map(|argument| argument.len() + ARGUMENT_BYTES).sum()
    }

    /// Encodes a call with these items, which finds the `expected` record and leaves `record`. Returns the keys of
    /// the call, in the order in which the function numbers them, as indices of [`keys`](Self::keys).
    pub(crate) fn encode(
        &self,
        shape: &Shape,
        items: Range<usize>,
        (preface, (expected, record)): (&Preface<'_>, (&str, &str)),
        (procedure, state): (&Procedure, &str),
        request: &mut Vec<u8>,
    ) -> Vec<usize> {
        let (keys, pieces, commands) = self.commands(shape, items);
        let fixed = shape.fixed();
        let count = 10 + commands.iter().map(|command| 2 + fixed + command.count).sum::<usize>();
        let mut names = vec![state];
        names.extend(keys.iter().map(|key| &*self.keys[*key]));
        procedure.begin(request, &names, count);
        let (first, last) = preface.trim;
        let words = [
            "commit",
            preface.lane,
            preface.owner,
            expected,
            record,
            shape.command.name(),
            preface.kind,
            first,
            last,
            preface.ttl,
        ];
        words.iter().for_each(|word| resp::argument(request, word.as_bytes()));
        for command in commands {
            resp::argument(request, command.key.to_string().as_bytes());
            self.encode_command(shape, command.count, &pieces[command.pieces], request);
        }
        keys
    }

    /// Encodes a command within a call after its key: the number of its arguments, and these. `count` is that of the
    /// pieces.
    pub(super) fn encode_command(
        &self,
        shape: &Shape,
        count: usize,
        pieces: &[Range<usize>],
        request: &mut Vec<u8>,
    ) {
        resp::argument(request, (shape.fixed() + count).to_string().as_bytes());
        shape.head.iter().for_each(|word| resp::argument(request, word.as_bytes()));
        let values = pieces.iter().flat_map(|piece| &self.arguments[piece.clone()]);
        values.for_each(|bytes| resp::argument(request, bytes));
        shape.tail.iter().for_each(|word| resp::argument(request, word.as_bytes()));
    }

    /// Encodes the commands that write these items, as they are sent without a function. Trimming and the time
    /// to live are not in them. Returns the keys as [`encode`](Self::encode) does, how many events each is
    /// given, and how many commands there are.
    pub(crate) fn encode_plain(
        &self,
        shape: &Shape,
        items: Range<usize>,
        request: &mut Vec<u8>,
    ) -> (Vec<usize>, Vec<usize>, usize) {
        let (keys, pieces, commands) = self.commands(shape, items);
        let mut counts = vec![0; keys.len()];
        let id: &[&str] = if shape.command == options::Command::Xadd { &["*"] } else { &[] };
        for command in &commands {
            counts[command.key] += command.pieces.len();
            resp::begin(request, 2 + id.len() + command.count);
            resp::argument(request, shape.command.name().as_bytes());
            resp::argument(request, self.keys[keys[command.key]].as_bytes());
            id.iter().for_each(|word| resp::argument(request, word.as_bytes()));
            for piece in &pieces[command.pieces.clone()] {
                self.arguments[piece.clone()].iter().for_each(|bytes| resp::argument(request, bytes));
            }
        }
        (keys, counts, commands.len())
    }

    /// The keys of these items, their arguments in the order in which they are sent, and which of them share
    /// a command.
    fn commands(&self, shape: &Shape, items: Range<usize>) -> (Vec<usize>, Vec<Range<usize>>, Vec<Command>) {
        let mut keys = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut sequence: Vec<(usize, &Item)> = Vec::with_capacity(items.len());
        for item in &self.items[items] {
            let place = *places.entry(item.key).or_insert_with(|| {
                keys.push(item.key);
                keys.len() - 1
            });
            sequence.push((place, item));
        }
        let together = shape.command.is_variadic();
        if together && keys.len() > 1 {
            sequence.sort_by_key(|(place, _)| *place);
        }
        let mut pieces = Vec::with_capacity(sequence.len());
        let mut commands: Vec<Command> = Vec::new();
        for (key, item) in sequence {
            for piece in split(item.arguments.clone(), if together { COMMAND_ARGUMENTS } else { usize::MAX })
            {
                let (count, at) = (piece.len(), pieces.len());
                pieces.push(piece);
                match commands.last_mut() {
                    Some(last) if together && last.key == key && last.count + count <= COMMAND_ARGUMENTS => {
                        last.count += count;
                        last.pieces.end = at + 1;
                    }
                    _ => commands.push(Command { key, count, pieces: at..at + 1 }),
                }
            }
        }
        (keys, pieces, commands)
    }
}

/// Refuses an entry or a string with too many arguments: it cannot be written in pieces.
fn check_length(shape: &Shape, arguments: usize) -> Result<(), String> {
    match shape.command.is_variadic() || arguments <= COMMAND_ARGUMENTS {
        true => Ok(()),
        false => Err(format!(
            "the event has {} fields, and an entry that is stored together with a position has at most {}",
            arguments / 2,
            COMMAND_ARGUMENTS / 2
        )),
    }
}

pub(super) fn split(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(most.min(end.max(1))).map(move |start| start..end.min(start.saturating_add(most)))
}

#[cfg(test)]
mod tests;
