//! How far a lane is, as its sink stores it beside the data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Position;

/// The path of one partition of one source to one sink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Name of the source component.
    pub source: Arc<str>,
    /// The partition; empty if the source has one.
    pub partition: Arc<str>,
}

/// How far a lane is. Events of a partition are numbered from 0 in the order in which the source reads them,
/// which is the same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where the source resumes; `None` is its start.
    pub position: Option<Position>,
    /// The number of the first event behind `position`.
    pub base: u64,
    /// The number of the first event that is not done: `base`, or more if a batch was done in part.
    pub done: u64,
}

/// Who claims lanes.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The id of the pipeline.
    pub pipeline: Arc<str>,
    /// The name of the sink component.
    pub sink: Arc<str>,
    /// Forget every record first: the user starts over on purpose.
    pub afresh: bool,
}

/// Whether a source can read again what it has read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// It cannot: what was read and not delivered is lost in a crash.
    #[default]
    Never,
    /// Its input delivers again what was not acknowledged, in any order.
    Redelivery,
    /// It resumes at a [`Position`], and reads the same events in the same order from there.
    Position,
}
