//! Why a task of a graph ended before its input did.

/// Why a task of a graph ended before its input did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The graph is stopped at once: another task failed, or the drain took too long.
    Stopped,
    /// This component cannot go on, and another try would end the same.
    Fatal(String),
    /// A sink has lost data, for this reason: the graph starts anew from what its record says.
    Replay(String),
    /// Something that should not happen; a fresh start may help.
    Crashed(String),
}

impl Failure {
    pub(crate) fn fatal(component: &str, message: impl std::fmt::Display) -> Self {
        Self::Fatal(format!("`{component}`: {message}"))
    }
}
