//! Commands that are sent together, encoded one behind the other.

use std::ops::Range;

use crate::server::resp;
use crate::server::slot::slot;
use crate::server::verdict::Expect;

/// How much buffer is kept from one batch to the next.
const KEPT_BYTES: usize = 4 << 20;

/// Commands that are sent together, encoded one behind the other, and the events that each stands for.
#[derive(Default)]
pub(crate) struct Commands {
    pub(crate) buffer: Vec<u8>,
    /// Indices of events in their batch, in the order of the commands.
    pub(crate) order: Vec<usize>,
    pub(crate) list: Vec<Command>,
}

/// Makes commands, some at a time.
pub(crate) trait CommandSource: Send {
    /// Adds some commands. False if there were none left; then it is not asked again.
    fn supply(&mut self, commands: &mut Commands) -> bool;
}

/// One encoded command.
pub(crate) struct Command {
    /// Where it lies in the buffer.
    pub(crate) bytes: Range<usize>,
    /// Where its key lies in the buffer.
    pub(crate) key: Range<usize>,
    /// Which part of the order its events are.
    pub(crate) events: Range<usize>,
    /// What a good answer to it looks like.
    pub(crate) expect: Expect,
}

impl Commands {
    /// Forgets the commands and keeps the memory, within reason.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        self.order.clear();
        self.list.clear();
    }

    /// The key of a command.
    pub(crate) fn key(&self, command: usize) -> &[u8] {
        &self.buffer[self.list[command].key.clone()]
    }

    /// The slot of a cluster that the key of a command belongs to.
    pub(crate) fn slot(&self, command: usize) -> u16 {
        slot(self.key(command))
    }

    /// Adds a command that stands for the events of the order from number `first` on: its name, its key, and
    /// `rest` piece by piece.
    pub(crate) fn push<A: AsRef<[u8]>, B: AsRef<[u8]>>(
        &mut self,
        name: &str,
        key: &[u8],
        (head, arguments, tail): (&[A], &[B], &[A]),
        first: usize,
        expect: Expect,
    ) {
        let start = self.buffer.len();
        resp::begin(&mut self.buffer, 2 + head.len() + arguments.len() + tail.len());
        resp::argument(&mut self.buffer, name.as_bytes());
        resp::argument(&mut self.buffer, key);
        let key_end = self.buffer.len() - "\r\n".len();
        head.iter().for_each(|bytes| resp::argument(&mut self.buffer, bytes.as_ref()));
        arguments.iter().for_each(|bytes| resp::argument(&mut self.buffer, bytes.as_ref()));
        tail.iter().for_each(|bytes| resp::argument(&mut self.buffer, bytes.as_ref()));
        self.list.push(Command {
            bytes: start..self.buffer.len(),
            key: key_end - key.len()..key_end,
            events: first..self.order.len(),
            expect,
        });
    }

    /// Adds a command that stands for no event.
    pub(crate) fn push_bare(&mut self, name: &str, key: &[u8], rest: &[&str], expect: Expect) {
        self.push::<&str, _>(name, key, (&[], rest, &[]), self.order.len(), expect);
    }
}
