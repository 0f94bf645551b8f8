//! The record of each lane, and its comparison with that of the server. Pure.

use std::collections::BTreeMap;

use tidegate_sdk::{Error, Lane, Record};

/// The fields of the hash that are not lanes.
const EPOCH: &str = "epoch";
const OWNER: &str = "owner";

/// A record and its text in the server. Texts are compared, not values, so the server need not parse them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    /// Empty if the server has none.
    pub(crate) text: String,
}

/// The known state of one lane.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The record in the server, as far as it is known.
    pub(crate) stored: Stored,
    /// Records that may be in the server instead: they were sent, and no reply came.
    pub(crate) sent: Vec<Stored>,
}

/// The state of a sink in the server.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The number of claims. `None` if there is no state.
    pub(crate) epoch: Option<u64>,
    /// The name of the last claim.
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
    /// Reads names and values in turn, the reply to HGETALL.
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

/// Compares the server's state with the known one, and adopts records whose replies were lost.
///
/// # Errors
/// If they differ, with the consequence.
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
        // A record that is not there now never will be: the connection that it was sent over is closed.
        held.sent.clear();
    }
    if differs { Err(rolled_back(lost)) } else { Ok(()) }
}

/// True if this process still owns the sink.
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
         server that keeps nothing across a restart?), so it is not known which events are there; look at the data, \
         then run once with --start-over"
    ))
}

pub(crate) fn rolled_back(lost: u64) -> Error {
    Error::replay(format!("the server has lost its newest data: rolled back {lost} events, replaying"))
}

#[cfg(test)]
mod tests;
