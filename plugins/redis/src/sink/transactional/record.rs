//! What is remembered of each lane, and what it means if the server remembers something else. Pure.

use std::collections::BTreeMap;

use tidegate_sdk::{Error, Lane, Record};

/// The fields of the hash that are no lanes.
const EPOCH: &str = "epoch";
const OWNER: &str = "owner";

/// A record, and the text that stands for it in the server. Texts are compared, not values, so that the server
/// need not understand them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    /// Empty if the server has none.
    pub(crate) text: String,
}

/// What we know of one lane.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The record that is in the server, as far as we know.
    pub(crate) stored: Stored,
    /// The records that may be in the server in place of it: they were sent, and no answer came.
    pub(crate) sent: Vec<Stored>,
}

/// What the server holds of a sink.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    /// How often it was claimed; `None` if there is nothing at all.
    pub(crate) epoch: Option<u64>,
    /// Who claimed it last.
    pub(crate) owner: String,
    /// The text of each lane's record.
    pub(crate) lanes: BTreeMap<String, String>,
}

impl Stored {
    /// The record as it is sent.
    pub(crate) fn new(record: Record) -> Self {
        let text = serde_json::to_string(&record).expect("a record is plain data");
        Self { record, text }
    }

    /// The record that the server has.
    pub(crate) fn read(text: String) -> Result<Self, Error> {
        match serde_json::from_str(&text) {
            Ok(record) => Ok(Self { record, text }),
            Err(error) => Err(Error::fatal(format!("the record `{text}` is not readable: {error}"))),
        }
    }
}

impl State {
    /// From names and values in turn, as HGETALL answers.
    pub(crate) fn new(list: Vec<String>) -> Self {
        let mut state = Self::default();
        let mut list = list.into_iter();
        while let (Some(name), Some(value)) = (list.next(), list.next()) {
            match name.as_str() {
                EPOCH => state.epoch = value.parse().ok(),
                OWNER => state.owner = value,
                _ => drop(state.lanes.insert(name, value)),
            }
        }
        state
    }
}

/// The field that holds the record of a lane: `["source","partition"]`.
pub(crate) fn field(lane: &Lane) -> String {
    serde_json::to_string(&(&*lane.source, &*lane.partition)).expect("two texts are plain data")
}

/// The lane whose record a field holds.
pub(crate) fn lane(field: &str) -> Result<Lane, Error> {
    match serde_json::from_str::<(String, String)>(field) {
        Ok((source, partition)) => Ok(Lane { source: source.into(), partition: partition.into() }),
        Err(_) => Err(Error::fatal(format!("`{field}` is not the name of a lane"))),
    }
}

/// Compares what the server holds with what we know, and takes over what a lost answer would have told.
///
/// # Errors
/// If they do not fit, with what follows from it.
pub(crate) fn compare(
    (owner, epoch): (&str, u64),
    known: &mut BTreeMap<Lane, Held>,
    mut found: State,
) -> Result<(), Error> {
    compare_owner((owner, epoch), known, found.epoch, &found.owner)?;
    let mut lost = 0;
    let mut differs = false;
    for (lane, held) in known {
        let text = found.lanes.remove(&field(lane)).unwrap_or_default();
        if let Some(sent) = held.sent.iter().position(|sent| sent.text == text) {
            held.stored = held.sent.swap_remove(sent);
        } else if held.stored.text != text {
            differs = true;
            let record = if text.is_empty() { Record::default() } else { Stored::read(text)?.record };
            lost += held.stored.record.done.saturating_sub(record.done);
        }
        // What is not there now never will be: the connection on which it was sent is gone.
        held.sent.clear();
    }
    if differs { Err(rolled_back(lost)) } else { Ok(()) }
}

/// Whether the sink is still ours.
pub(crate) fn compare_owner(
    (owner, epoch): (&str, u64),
    known: &BTreeMap<Lane, Held>,
    found: Option<u64>,
    found_owner: &str,
) -> Result<(), Error> {
    let committed = known.values().map(|held| held.stored.record.done).sum::<u64>();
    match found {
        Some(_) if found_owner == owner => Ok(()),
        Some(found) if found >= epoch => Err(fenced()),
        Some(_) => Err(rolled_back(committed)),
        None if committed == 0 => Err(rolled_back(0)),
        None => Err(gone(committed)),
    }
}

fn fenced() -> Error {
    Error::fatal(
        "another process has taken this sink over, so this one must not write any more: the same pipeline \
         runs twice; stop one of them, or give one another `id` in `[pipeline]`",
    )
}

fn gone(committed: u64) -> Error {
    Error::fatal(format!(
        "the record of this sink is gone from Redis, though {committed} events were committed (FLUSHALL, or a \
         server that keeps nothing across a restart?), so nobody can tell what is there; look at the data, \
         then run once with --start-over"
    ))
}

pub(crate) fn rolled_back(lost: u64) -> Error {
    Error::replay(format!("the server has lost its newest data: rolled back {lost} events, replaying"))
}

#[cfg(test)]
mod tests;
