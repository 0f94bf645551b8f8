//! Encodes entries and their events as calls of the function inside of Redis. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use tidegate_sdk::AckHandles;

use crate::server::resp;
use crate::sink::shape::Shape;
use crate::sink::transactional::procedure::Procedure;
use crate::sink::transactional::writes::{CALL_BYTES, CALL_EVENTS, COMMAND_ARGUMENTS, Item, Writes, split};

/// A call: some entries, and all events of each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The entries of the source batch.
    pub(super) entries: Range<usize>,
    /// The items. Those of one entry are adjacent.
    pub(super) items: Range<usize>,
    /// The number of the first entry in its lane.
    number: u64,
}

/// The arguments of a call beside its entries and events.
pub(super) struct Preface<'p> {
    /// The stream, the group, and the consumer that most of the entries are pending with.
    pub(super) scope: [&'p str; 3],
    /// The type that the keys must have. Empty for any.
    pub(super) kind: &'static str,
    /// The first and the last index that a list keeps. Empty for all.
    pub(super) trim: &'p (String, String),
    /// The time to live of the keys, in milliseconds. Empty for none.
    pub(super) ttl: &'p str,
}

/// Splits the `entries` and their items, which are in the same order, into calls. The items of one entry are never
/// split, so an entry with many items makes a long call.
pub(super) fn calls(
    writes: &Writes<'_>,
    number: impl Fn(&Item) -> usize,
    entries: Range<usize>,
) -> Vec<Call> {
    let items = &writes.items;
    let origin = items.first().map_or(0, |item| item.number - number(item) as u64);
    let mut calls = Vec::new();
    let (mut start, mut first, mut at, mut bytes) = (entries.start, 0, 0, 0);
    for entry in entries.clone() {
        let count = items[at..].iter().take_while(|item| number(item) == entry).count();
        let more = items[at..at + count].iter().map(|item| writes.cost(item)).sum::<usize>();
        let full =
            at + count - first > CALL_EVENTS || bytes + more > CALL_BYTES || entry - start >= CALL_EVENTS;
        if full && entry > start {
            calls.push(Call { entries: start..entry, items: first..at, number: origin + start as u64 });
            (start, first, bytes) = (entry, at, 0);
        }
        at += count;
        bytes += more;
    }
    if start < entries.end {
        calls.push(Call { entries: start..entries.end, items: first..at, number: origin + start as u64 });
    }
    calls
}

/// A command within a call: arguments of consecutive pieces for one key.
struct Command {
    /// The number of the key in the call.
    key: usize,
    count: usize,
    owners: Owners,
    pieces: Range<usize>,
}

/// The entries that the arguments of a command belong to: each of `count` entries, from number `first` of the call on,
/// has the next `each` arguments.
#[derive(Default)]
struct Owners(Vec<Stretch>);

struct Stretch {
    first: usize,
    count: usize,
    each: usize,
}

impl Owners {
    /// Adds `count` arguments of an entry. Entries come in order. The last one may come again.
    fn push(&mut self, entry: usize, count: usize) {
        let Some(last) = self.0.last_mut() else {
            return self.0.push(Stretch { first: entry, count: 1, each: count });
        };
        if last.first + last.count == entry && last.each == count {
            last.count += 1;
            return;
        }
        let mut each = count;
        if last.first + last.count == entry + 1 {
            each += last.each;
            last.count -= 1;
            if last.count == 0 {
                self.0.pop();
            }
        }
        self.0.push(Stretch { first: entry, count: 1, each });
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * 8);
        for Stretch { first, count, each } in &self.0 {
            // Writing to a text cannot fail.
            let _ = write!(text, "{first},{count},{each};");
        }
        text
    }
}

impl Call {
    /// Encodes the call. Returns its keys as indices of [`Writes::keys`], in the order of their numbers.
    pub(super) fn encode(
        &self,
        (shape, writes): (&Shape, &Writes<'_>),
        ack_handles: &AckHandles,
        preface: &Preface<'_>,
        procedure: &Procedure,
        request: &mut Vec<u8>,
    ) -> Vec<usize> {
        let (keys, pieces, commands) = self.commands(shape, writes);
        let fixed = shape.fixed();
        let count =
            9 + self.entries.len() + commands.iter().map(|command| 3 + fixed + command.count).sum::<usize>();
        let [stream, group, consumer] = preface.scope;
        let mut names = vec![stream];
        names.extend(keys.iter().map(|key| &*writes.keys[*key]));
        procedure.begin(request, &names, count);
        let (first, last) = preface.trim;
        let entries = self.entries.len().to_string();
        let command = shape.command.name();
        let words =
            ["acknowledge", group, consumer, command, preface.kind, first, last, preface.ttl, &entries];
        words.iter().for_each(|word| resp::argument(request, word.as_bytes()));
        self.entries.clone().for_each(|entry| resp::argument(request, ack_handles.get(entry)));
        for command in commands {
            resp::argument(request, command.key.to_string().as_bytes());
            resp::argument(request, command.owners.text().as_bytes());
            writes.encode_command(shape, command.count, &pieces[command.pieces], request);
        }
        keys
    }

    /// The keys of the items, their arguments in order, and the commands that these form.
    fn commands(&self, shape: &Shape, writes: &Writes<'_>) -> (Vec<usize>, Vec<Range<usize>>, Vec<Command>) {
        let mut keys = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut sequence: Vec<(usize, &Item)> = Vec::with_capacity(self.items.len());
        for item in &writes.items[self.items.clone()] {
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
        let fixed = shape.fixed();
        let most = if together { COMMAND_ARGUMENTS } else { usize::MAX };
        let mut pieces = Vec::with_capacity(sequence.len());
        let mut commands: Vec<Command> = Vec::new();
        for (key, item) in sequence {
            let entry = (item.number - self.number) as usize;
            for piece in split(item.arguments.clone(), most) {
                let (count, at) = (piece.len(), pieces.len());
                pieces.push(piece);
                match commands.last_mut() {
                    Some(last) if together && last.key == key && last.count + count <= COMMAND_ARGUMENTS => {
                        last.count += count;
                        last.owners.push(entry, count);
                        last.pieces.end = at + 1;
                    }
                    _ => {
                        let mut owners = Owners::default();
                        owners.push(entry, fixed + count);
                        commands.push(Command { key, count, owners, pieces: at..at + 1 });
                    }
                }
            }
        }
        (keys, pieces, commands)
    }
}

#[cfg(test)]
mod tests;
