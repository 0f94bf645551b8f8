//! The commands of a batch, encoded one after the other.

use std::ops::Range;

use crate::server::resp;
use crate::server::slot::slot;
use crate::server::verdict::Expect;

/// The buffer that is kept from one batch to the next, in bytes.
const KEPT_BYTES: usize = 4 << 20;

/// The commands of a batch, encoded one after the other, and the events of each.
#[derive(Default)]
pub(crate) struct Commands {
    pub(crate) buffer: Vec<u8>,
    /// Indices of events in their batch, in the order of the commands.
    pub(crate) order: Vec<usize>,
    pub(crate) list: Vec<Command>,
}

/// Makes the commands of a batch in pieces.
pub(crate) trait CommandSource: Send {
    /// Adds some commands. False if there are none left.
    fn supply(&mut self, commands: &mut Commands) -> bool;
}

/// An encoded command.
pub(crate) struct Command {
    /// Its position in the buffer.
    pub(crate) bytes: Range<usize>,
    /// The position of its key in the buffer.
    pub(crate) key: Range<usize>,
    /// The position of its events in `order`.
    pub(crate) events: Range<usize>,
    /// The form of a good reply.
    pub(crate) expect: Expect,
}

impl Commands {
    /// Removes the commands and keeps the memory, up to a limit.
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

    /// The cluster slot of a command's key.
    pub(crate) fn slot(&self, command: usize) -> u16 {
        slot(self.key(command))
    }

    /// Adds a command for the events of `order` from number `first` on: its name, its key, and the other arguments.
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

    /// Adds a command without events.
    pub(crate) fn push_bare(&mut self, name: &str, key: &[u8], rest: &[&str], expect: Expect) {
        self.push::<&str, _>(name, key, (&[], rest, &[]), self.order.len(), expect);
    }
}
