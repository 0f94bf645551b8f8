//! Filters that remember events by key and time: windows, joins, sorts.

mod output;

pub use output::{Emitted, Failed, StateOutput};

use crate::{Batch, ConfigError, Error, Exclusive};

/// A filter with a state that survives crashes.
///
/// The filter is a pure function of its input and its state. It does no input or output, reads no clock and starts no
/// task. The engine numbers the input, keeps the clocks, and stores the changes of the state, the emitted events and the
/// progress of the input in one durable commit. After a crash it restores the state of the last commit and calls again
/// with exactly the events that follow. So every method must be deterministic.
///
/// The engine does not run such filters yet: this is the contract on which they are built, and a graph with one is
/// refused at its start.
///
/// The calls come in this order: [`bind`](Self::bind); [`restore`](Self::restore) for each stored entry; then, for each
/// batch, [`read`](Self::read) and [`process`](Self::process); [`advance`](Self::advance) each time the watermark has
/// risen; [`changes`](Self::changes) for each commit; [`finish`](Self::finish) at the end of the input.
pub trait StatefulFilter: Send + 'static {
    /// Binds the input ports. `ports` are the names in `from`, in order; a port is known by its index from then on.
    ///
    /// # Errors
    /// The options do not fit the ports (a join needs two), or name one that does not exist.
    fn bind(&mut self, _ports: &[String]) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Reads the time of each event and everything else that may fail (keys, values), before any state changes. `events`
    /// has an entry for each event of the batch, preset to the event's timestamp.
    ///
    /// The next call is [`process`](Self::process) with the same batch, so the filter may keep what it has read.
    fn read(&mut self, port: usize, batch: &Batch, events: &mut [Reading]);

    /// Changes the state by the events of a batch, in order, and emits results. Events that were rejected in
    /// [`read`](Self::read) have [`Reading::Rejected`] in `cx` and must be skipped.
    ///
    /// # Errors
    /// Fatal ones end the graph. The state must then be as before the call, or the filter is discarded.
    fn process(
        &mut self,
        port: usize,
        batch: &Batch,
        cx: &StateCx<'_>,
        out: &mut StateOutput,
    ) -> Result<(), Error>;

    /// Does everything that is due at the watermark ([`StateCx::watermark`]): closes windows, expires keys. Results leave in
    /// the order of time, then key. When `out` [is full](StateOutput::is_full), the filter returns [`Step::More`]: the
    /// engine commits, and calls again.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn advance(&mut self, _cx: &StateCx<'_>, _out: &mut StateOutput) -> Result<Step, Error> {
        Ok(Step::Done)
    }

    /// Does everything that is due at the end of the input: closes every window. Called instead of a last
    /// [`advance`](Self::advance), and in pieces like it. Not called when the pipeline drains: open windows then
    /// continue in the next run.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn finish(&mut self, _cx: &StateCx<'_>, _out: &mut StateOutput) -> Result<Step, Error> {
        Ok(Step::Done)
    }

    /// Writes the entries of the state that changed since the previous call. An entry that changed a thousand times is
    /// written once. Entries that are gone are deleted, so that nothing of them is left.
    fn changes(&mut self, changes: &mut Changes);

    /// Restores one entry that an earlier instance wrote in [`changes`](Self::changes). Called once for each live entry, in
    /// no particular order.
    ///
    /// # Errors
    /// The entry cannot be read: it is damaged, or of a later version. The engine refuses to start with the reason.
    fn restore(&mut self, entry: Entry<'_>) -> Result<(), Error>;

    /// The memory that the state uses, and its number of keys.
    fn usage(&self) -> Usage;

    /// The options that give stored bytes their meaning, by name, in a canonical form; and the version of the format as
    /// the option `version`. A state whose fingerprint differs is refused at start, with the name of the option.
    fn fingerprint(&self) -> Vec<(String, String)>;

    /// The content of an entry as JSON, for `tidegate state show`. `None` if the entry cannot be read.
    fn describe(&self, _entry: Entry<'_>) -> Option<serde_json::Value> {
        None
    }

    /// Frees memory by closing what is oldest, before its time, and emits it. For `on_full = "close_oldest"`. Returns false
    /// if nothing can be closed.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn close_oldest(&mut self, _cx: &StateCx<'_>, _out: &mut StateOutput) -> Result<bool, Error> {
        Ok(false)
    }

    /// Names of the outputs 1 and up. Late events leave through one of them, if the filter has a notion of late.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reasons for which two runs over the same input may have different results, or none.
    fn nondeterminism(&self) -> Option<String> {
        None
    }

    /// Returns true if the filter may emit results that are not final. Such results may not enter another stateful filter.
    fn emits_early(&self) -> bool {
        false
    }

    /// As [`crate::Filter::explain`].
    fn explain(&self) -> Option<String> {
        None
    }

    /// As [`crate::Source::exclusive`].
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// As [`crate::Source::warnings`].
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }
}

/// The result of reading one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The time of the event, in nanoseconds since 1970 (UTC).
    At(i64),
    /// The event has no time, and the filter needs none (a count window).
    Untimed,
    /// The event cannot be processed, with the reason: a lower-case sentence without a full stop.
    Rejected(String),
}

impl Reading {
    /// The time, if there is one.
    pub fn time(&self) -> Option<i64> {
        if let Self::At(time) = self { Some(*time) } else { None }
    }
}

/// The clocks for one call of a [`StatefulFilter`].
#[derive(Clone, Copy, Debug)]
pub struct StateCx<'a> {
    /// The readings of the batch, as [`StatefulFilter::read`] left them. Empty outside of `process`.
    pub readings: &'a [Reading],
    /// For each event of the batch, the clock of its own source partition when the event came: the greatest time seen
    /// before it, minus `lateness`; or the watermark, where that is greater. [`i64::MIN`] if there is none yet.
    ///
    /// An event is late for a window whose end is at or below its clock. A filter without windows takes an event as late
    /// if its time is below its clock.
    pub clocks: &'a [i64],
    /// The watermark: no partition that counts is below it. [`i64::MIN`] if there is none yet.
    pub watermark: i64,
}

/// The progress of a call that works in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everything that was due is done.
    Done,
    /// The output is full. The engine calls again after a commit.
    More,
}

/// Entry of a state: `value` under `key` and `sub`. The key is the canonical JSON of the user's key, so that `tidegate
/// state` can show it; `sub` separates several entries of one key (a window's start, a number in a buffer).
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The part of the key's state.
    pub sub: &'a [u8],
    /// The content, in the filter's own format. At most [`ENTRY_BYTES`](crate::ENTRY_BYTES).
    pub value: &'a [u8],
}

/// The memory of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of memory, counted honestly: with the overhead of maps and vectors.
    pub bytes: u64,
}

/// The changes of a state since the last commit.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    entries: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    start: usize,
    key: usize,
    sub: usize,
    /// `None` deletes the entry.
    value: Option<usize>,
}

impl Changes {
    /// Sets the value of an entry.
    pub fn put(&mut self, key: &[u8], sub: &[u8], value: &[u8]) {
        self.add(key, sub, Some(value));
    }

    /// Deletes an entry. Deleting one that does not exist is no error.
    pub fn delete(&mut self, key: &[u8], sub: &[u8]) {
        self.add(key, sub, None);
    }

    /// Number of changed entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The changes in order: key, part and value, which is `None` for a deletion.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Option<&[u8]>)> {
        self.entries.iter().map(|change| {
            let (key, rest) = self.bytes[change.start..].split_at(change.key);
            let (sub, rest) = rest.split_at(change.sub);
            (key, sub, change.value.map(|length| &rest[..length]))
        })
    }

    /// Forgets all changes and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    fn add(&mut self, key: &[u8], sub: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(sub);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let value = value.map(<[u8]>::len);
        self.entries.push(Change { start, key: key.len(), sub: sub.len(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written() {
        let mut changes = Changes::default();
        changes.put(b"\"a\"", b"10", b"one");
        changes.delete(b"\"b\"", b"");
        changes.put(b"", b"", b"");
        let mut all = changes.iter();
        assert_eq!(all.next(), Some((&b"\"a\""[..], &b"10"[..], Some(&b"one"[..]))));
        assert_eq!(all.next(), Some((&b"\"b\""[..], &b""[..], None)));
        assert_eq!(all.next(), Some((&b""[..], &b""[..], Some(&b""[..]))));
        drop(all);
        assert_eq!((changes.len(), changes.bytes()), (3, 11));
        changes.clear();
        assert!(changes.is_empty() && changes.iter().next().is_none());
    }
}
