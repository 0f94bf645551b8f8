//! Counts and outcomes of the reloads of a run.

use jiff::Timestamp;

/// Outcome of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The pipelines match the files.
    Done,
    /// Nothing was changed.
    Refused,
    /// Some graphs match the files, others did not start.
    Incomplete,
}

impl Outcome {
    /// Every outcome, in the order of [`Reloads::counts`].
    pub(crate) const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Incomplete];

    /// Returns the name in metrics and in `/status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Reloads since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads {
    /// Number of reloads with each outcome.
    pub(crate) counts: [u64; 3],
    /// The last reload.
    pub(crate) last: Option<Reload>,
    /// Number of libraries in this process, including replaced ones.
    pub(crate) resident_libraries: usize,
}

impl Reloads {
    /// Counts a reload that has just ended.
    pub(crate) fn add(&mut self, outcome: Outcome, message: &str) {
        self.counts[outcome as usize] += 1;
        self.last = Some(Reload { time: Timestamp::now(), outcome, message: message.to_owned() });
    }
}

/// A reload that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    /// Time of the end.
    pub(crate) time: Timestamp,
    /// Outcome.
    pub(crate) outcome: Outcome,
    /// Number of changed graphs, or the reason for a refusal.
    pub(crate) message: String,
}
