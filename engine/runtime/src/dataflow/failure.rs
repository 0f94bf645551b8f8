//! Failure of a task of a graph.

/// Reason why a task ended before its input did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The graph stops at once: another task failed, or the drain timeout passed.
    Stopped,
    /// The component cannot continue, and a restart would end the same.
    Fatal(String),
    /// The graph drains, and this keeps it from delivering what was read.
    Undeliverable(String),
    /// A sink has lost data: the graph restarts from the sink's record.
    Replay(String),
    /// An unexpected failure. A restart may help.
    Crashed(String),
}

impl Failure {
    pub(crate) fn fatal(component: &str, message: impl std::fmt::Display) -> Self {
        Self::Fatal(format!("`{component}`: {message}"))
    }
}
