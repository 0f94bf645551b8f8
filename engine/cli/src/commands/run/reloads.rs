//! The reloads of a run, and what came of them.

use jiff::Timestamp;

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The pipelines are as the files say.
    Done,
    /// Nothing was changed.
    Refused,
    /// Some graphs are as the files say, others did not start.
    Incomplete,
}

impl Outcome {
    /// All of them, in the order of [`Reloads::counts`].
    pub(crate) const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Incomplete];

    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The reloads since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads {
    /// How many had each outcome.
    pub(crate) counts: [u64; 3],
    /// The last one.
    pub(crate) last: Option<Reload>,
    /// How many libraries' code is in this process: what a reload replaces stays.
    pub(crate) resident_libraries: usize,
}

impl Reloads {
    /// Counts one that has just ended.
    pub(crate) fn add(&mut self, outcome: Outcome, message: &str) {
        self.counts[outcome as usize] += 1;
        self.last = Some(Reload { time: Timestamp::now(), outcome, message: message.to_owned() });
    }
}

/// One reload.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    /// When it ended.
    pub(crate) time: Timestamp,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What it did, or why it did nothing.
    pub(crate) message: String,
}
