//! The exit codes, and how the ends of graphs become one.

use std::process::ExitCode;

use tidegate_runtime::status::{End, GraphState, GraphStatus};

/// How the process ends. Scripts and service managers rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Ended or drained, with nothing lost.
    Done = 0,
    /// A pipeline failed.
    Failed = 1,
    /// A pipeline file or an argument is wrong.
    Wrong = 2,
    /// A drain ended before everything was delivered.
    CutShort = 3,
    /// A second Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// The exit code of a run whose graphs ended like this. A failure weighs more than a deadline: somebody
    /// must look at it, while what a deadline cut off is usually read again.
    pub(crate) fn of(graphs: &[GraphStatus]) -> Self {
        graphs
            .iter()
            .map(|graph| Self::of_state(&graph.state))
            .max_by_key(|exit| exit.weight())
            .unwrap_or(Self::Done)
    }

    fn of_state(state: &GraphState) -> Self {
        match state {
            GraphState::Over(End::Ended | End::Drained) => Self::Done,
            GraphState::Over(End::CutShort { .. }) => Self::CutShort,
            // A graph that is not over when the engine says that everything is has not kept its word.
            _ => Self::Failed,
        }
    }

    fn weight(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CutShort => 1,
            Self::Failed | Self::Wrong | Self::Interrupted => 2,
        }
    }
}

/// Why a command could not do its work: shown after `error: `.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong, where, and what to do about it.
    pub(crate) message: String,
}

impl Failure {
    /// Somebody asked for something that is not right: exit code 2.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, message: message.into() }
    }

    /// What was asked for is right and did not work: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_runtime::status::{StopCause, Undelivered};

    use super::*;

    fn graph(state: GraphState) -> GraphStatus {
        let name = "p".to_owned();
        GraphStatus {
            name,
            state,
            components: Vec::new(),
            in_flight_bytes: 0,
            in_flight_events: 0,
            restarts: 0,
            ran: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn the_worst_end_decides() {
        let over = |end| graph(GraphState::Over(end));
        let late =
            || over(End::CutShort { cause: StopCause::DrainTimeout, undelivered: Undelivered::default() });
        assert_eq!(Exit::of(&[]), Exit::Done);
        assert_eq!(Exit::of(&[over(End::Ended), over(End::Drained)]), Exit::Done);
        assert_eq!(Exit::of(&[late(), over(End::Ended)]), Exit::CutShort);
        assert_eq!(Exit::of(&[over(End::Failed("x".into())), late()]), Exit::Failed);
        assert_eq!(Exit::of(&[graph(GraphState::Running)]), Exit::Failed);
    }
}
