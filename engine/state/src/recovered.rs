//! Content of a filter's store at its start.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_sdk::{Lane, Record};

use crate::changes::Clock;
use crate::error::ReadError;
use crate::filter::{FilterId, FilterInfo};

/// Content of a filter's store at its start.
#[derive(Debug)]
pub struct Recovered {
    /// Id for commits and reads.
    pub filter: FilterId,
    /// Name, generation, fingerprint and epochs.
    pub info: FilterInfo,
    /// True if the filter had no store before.
    pub is_new: bool,
    /// The current epoch.
    pub epoch: u64,
    /// Records of the input lanes.
    pub records: BTreeMap<Lane, Record>,
    /// Clocks of the source partitions.
    pub clocks: BTreeMap<Lane, Clock>,
    /// Named bytes of the runtime.
    pub meta: BTreeMap<String, Vec<u8>>,
    /// True if the last run has ended at the end of its input.
    pub finished: bool,
    /// Numbers of the events that are kept; the end is the number of the next event.
    pub outbox: Range<u64>,
    /// State of the filter, in the order of keys and sub-keys.
    pub entries: Entries,
}

/// An entry of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The sub-key.
    pub sub_key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Reads the state of a filter, in the order of keys and sub-keys.
#[derive(Debug)]
pub struct Entries {
    pub(crate) list: std::vec::IntoIter<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    pub(crate) current: (Vec<u8>, Vec<u8>, Vec<u8>),
}

impl Entries {
    /// Reads the next entry.
    ///
    /// # Errors
    /// If a file cannot be read, or is damaged. Nothing is skipped.
    pub fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>, ReadError> {
        let Some(next) = self.list.next() else { return Ok(None) };
        self.current = next;
        let (key, sub_key, value) = &self.current;
        Ok(Some(EntryRef { key, sub_key, value }))
    }
}
